#!/bin/bash
# The first process of the user-mode-linux guest that cgroup2.py boots. It gets, as its environment: checkout (this
# tree), stacks (what provision.sh made), marker (how the last line begins). It runs guest-tests.sh, says how that
# ended, and powers off.
#
# The guest has the machine's files at the same paths, below a throw-away overlay; /run and /tmp are its own. It is
# root with every capability, on cgroup v2 alone: cpu, io, memory, pids. It has one slow processor, and no IPv4 NAT.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
set -e
finish() {
  echo "$marker $1"
  sync
  echo o >/proc/sysrq-trigger
  sleep 10
}
trap 'finish "init failed"' EXIT
mount -t proc proc /proc
# The kernel's console is the tests' output: no news of interfaces and of kills for memory on it.
dmesg --console-level crit
for module in overlay bridge veth br_netfilter; do modprobe --dirname "$stacks/uml" "$module"; done
mount -t tmpfs -o size=3g upper /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work root /mnt/root
cd /mnt/root
mount -t proc proc proc
mount -t sysfs sys sys
mount -t cgroup2 none sys/fs/cgroup
mount -t devtmpfs dev dev
mkdir -p dev/shm dev/pts old
mount -t tmpfs shm dev/shm
mount -t devpts pts dev/pts
mount -t tmpfs run run
# containerd keeps its snapshots here, and overlayfs cannot write to an overlay.
mount -t tmpfs -o size=3g tmp tmp
pivot_root . old
if [ ! -e "$checkout" ]; then # it lay below /tmp or /run
  mkdir -p "$checkout"
  mount --bind "/old$checkout" "$checkout"
fi
umount --lazy /old
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
mkdir -p /run/lock
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1
cd "$checkout"
set +e
trap - EXIT
tests/stacks/guest-tests.sh
finish "exit status $?"
