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
export container=lxc
exec unshare --pid --fork --kill-child --mount-proc /usr/bin/systemd --system --unit=default.target \
  --log-target=console --show-status=no
