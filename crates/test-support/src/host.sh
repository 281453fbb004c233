#!/bin/sh
# Process 1 of a throw-away host: makes the file system that an engine expects, then waits to be killed.
# It comes in its own mount, pid, ipc and uts namespaces and in the host's network namespace. Everything
# that is mounted or started here disappears with it.
#
# host.sh DIRECTORY SHIM HYBRID [ROOT]
#   DIRECTORY  shared with the test, under the same path
#   SHIM       the binary under test, under the same path
#   HYBRID     "hybrid": leave the unified cgroups beside the old ones; crun 1.8.1 refuses that
#   ROOT       another Debian to live in, instead of the machine's own
set -eu
dir=$1 shim=$2 hybrid=$3 root=${4:-}

mount --make-rprivate /
if [ -n "$root" ]; then
    # An overlay, so that nothing is ever written to the cached tree.
    mkdir "$dir/upper" "$dir/work" "$dir/root"
    mount -t overlay -o "lowerdir=$root,upperdir=$dir/upper,workdir=$dir/work" overlay "$dir/root"
    new=$dir/root
    mount -t sysfs sysfs "$new/sys"
    mount --rbind /sys/fs/cgroup "$new/sys/fs/cgroup"
    mount --rbind /dev "$new/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
    mkdir -p "$new$dir" "$new${shim%/*}"
    mount --bind "$dir" "$new$dir"
    touch "$new$shim"
    mount --bind "$shim" "$new$shim"
    mount -t proc proc "$new/proc"
    mkdir "$new/.machine"
    # Not chroot: with one, runc exec ends up in the machine's own root.
    cd "$new"
    pivot_root . .machine
    umount -l /.machine
    rmdir /.machine
else
    mount -t proc proc /proc
    # A view of this network namespace; the cgroups are taken along.
    mount --rbind /sys/fs/cgroup /mnt
    mount -t sysfs sysfs /sys
    mount --rbind /mnt /sys/fs/cgroup
    umount -R /mnt
fi
cd /
# What crun makes there instead ends with this host: the file system below is the machine's, of a thousand inodes.
if [ "$hybrid" != hybrid ] && umount /sys/fs/cgroup/unified 2>/dev/null; then
    mount -t tmpfs tmpfs /sys/fs/cgroup/unified
fi

# State of the machine's own engines, and of other tests, stays out of sight. /dev/shm has Podman's locks.
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/lock /run/netns
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
# What the engines write to besides the directories they are given is a copy.
for copied in /etc /opt /var/lib /var/cache; do
    mkdir -p "/run/copied$copied/upper" "/run/copied$copied/work"
    options=lowerdir=$copied,upperdir=/run/copied$copied/upper,workdir=/run/copied$copied/work
    mount -t overlay -o "$options" overlay "$copied"
done
mkdir -p /opt/cni
[ -e /opt/cni/bin ] || [ ! -d /usr/lib/cni ] || ln -s /usr/lib/cni /opt/cni/bin
rm -rf /etc/resolv.conf /etc/hosts /etc/cni/net.d /etc/oci-isolate
cp "$dir/resolv.conf" "$dir/hosts" /etc/
chmod 0644 /etc/resolv.conf /etc/hosts

# Open for every user, as udev makes it: slirp4netns needs it, and a machine without udev has it for root only.
if [ -e /dev/net/tun ]; then
    mknod -m 0666 /run/tun c 10 200
    mount --bind /run/tun /dev/net/tun
fi

echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
hostname throwaway

: >"$dir/ready"
# Something has to reap what daemons leave behind: a conmon that is a zombie counts as running.
exec tini -s -- sleep infinity
