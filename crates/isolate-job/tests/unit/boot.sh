#!/bin/sh
# Process 1 of a throw-away host, until systemd takes its place: the machine's own file system below an overlay, with the units and the
# programs of this project. What is mounted or started here disappears with it.
#
# boot.sh DIRECTORY CACHE ENGINE
set -eu
dir=$1 cache=$2 engine=$3
new=$dir/root

mount --make-rprivate /
ip link set lo up
mkdir "$dir/upper" "$dir/work" "$dir/lower" "$new"
mount --bind / "$dir/lower"
mount -t overlay -o "lowerdir=$dir/lower,upperdir=$dir/upper,workdir=$dir/work" overlay "$new"
mount -t proc proc "$new/proc"
# systemd mounts each controller that there is. A hierarchy that the machine does not have outlives the host, and engines do not find
# where it is mounted.
awk '$2 == 0 { $4 = 0 } 1' OFS='\t' /proc/cgroups >"$dir/cgroups"
mount --bind "$dir/cgroups" "$new/proc/cgroups"
mount -t sysfs sysfs "$new/sys"
mount --rbind /sys/fs/cgroup "$new/sys/fs/cgroup"
mount --rbind /dev "$new/dev"
mount -t tmpfs -o mode=0755 tmpfs "$new/run"
mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
for made in "$dir" "$cache"; do
    mkdir -p "$new$made"
    mount --bind "$made" "$new$made"
done
for data in containers docker oci-isolate; do
    mkdir -p "$new/var/lib/$data"
    mount -t tmpfs tmpfs "$new/var/lib/$data"
done
rm -rf "$new/etc/oci-isolate"
mkdir "$new/etc/oci-isolate"
cp "$dir"/bin/* "$new/usr/bin/"
cp "$dir"/units/*.service "$new/etc/systemd/system/"
cat >"$new/etc/systemd/system/check.service" <<UNIT
[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/sh $dir/inside.sh $dir $cache $engine
StandardOutput=append:$dir/log
StandardError=append:$dir/log
UNIT

# Its own part of the hierarchy that systemd keeps.
mkdir -p "/sys/fs/cgroup/systemd/oci-isolate-unit-$engine"
echo $$ >"/sys/fs/cgroup/systemd/oci-isolate-unit-$engine/cgroup.procs"
cd "$new"
mkdir -p .machine
pivot_root . .machine
umount -l /.machine
export container=oci-isolate
exec /lib/systemd/systemd --system --unit=check.service --log-target=null --show-status=0
