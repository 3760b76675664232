#!/bin/sh
# Makes a systemd the first process of a pid namespace in a fake node's room, whose /etc/systemd/system and
# /run are the node's, and its only units; usage: systemd.sh CGROUP. None of the machine's units is started.
set -eu
mkdir -p "/sys/fs/cgroup/systemd/$1"
echo $$ > "/sys/fs/cgroup/systemd/$1/cgroup.procs"
for target in sysinit basic shutdown multi-user; do
  printf '[Unit]\nDefaultDependencies=no\n' > "/etc/systemd/system/$target.target"
done
printf '[Unit]\nDefaultDependencies=no\nWants=containerd.service multi-user.target\n' > /etc/systemd/system/default.target
# Without an id, systemd would enable whatever the machine has installed.
echo 0123456789abcdef0123456789abcdef > /etc/machine-id
for directory in system system-generators; do mount -t tmpfs tmpfs "/lib/systemd/$directory"; done
# systemd mounts every hierarchy that the kernel knows, and they stay when it has gone, for all of the machine: so it
# sees those that are mounted, in a directory of its own, and is told of no other.
seen=/run/node/hierarchies
mkdir "$seen"
mount --rbind --make-rprivate /sys/fs/cgroup "$seen"
mount -t tmpfs tmpfs /sys/fs/cgroup
for hierarchy in "$seen"/*; do
  if mountpoint --quiet "$hierarchy"; then
    mkdir "/sys/fs/cgroup/${hierarchy##*/}"
    mount --bind "$hierarchy" "/sys/fs/cgroup/${hierarchy##*/}"
  fi
done
umount --recursive --lazy "$seen"
while read -r controller rest; do
  if test "$controller" = "#subsys_name" || mountpoint --quiet "/sys/fs/cgroup/$controller"; then
    echo "$controller $rest"
  fi
done < /proc/cgroups > /run/node/controllers
export container=lxc
exec unshare --pid --fork --kill-child --mount-proc sh -c 'mount --bind /run/node/controllers /proc/cgroups
  exec /usr/bin/systemd --system --unit=default.target --log-target=console --show-status=no'
