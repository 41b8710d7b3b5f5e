#!/usr/bin/busybox sh
# The virtual device's first and only service: mounts, the network, then adbd for ever.
# Its output is the console, `target/vdev/run/NAME/console.log`.

export PATH=/usr/bin:/usr/sbin HOME=/data/local/tmp
/usr/bin/busybox --install -s /usr/bin
ln -sf busybox /usr/bin/sh

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
[ -d /sys/kernel/security ] && mount -t securityfs securityfs /sys/kernel/security
[ -d /sys/fs/selinux ] && mount -t selinuxfs selinuxfs /sys/fs/selinux
# Android's places for the unified hierarchy (11 and later) and for the older kind, in which it counts
# a service's processor time.
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /acct
mount -t cgroup -o cpuacct cgroup /acct || rmdir /acct
# Not the initial ramdisk itself: that one cannot allocate ahead (fallocate), and has no limit.
mount -t tmpfs -o size=256m,mode=0771 tmpfs /data
mkdir -p /data/local/tmp
chmod 0771 /data/local/tmp

# As Android's init, the highest value: it hides addresses even from root.
echo 2 > /proc/sys/kernel/kptr_restrict

for module in virtio_pci virtio_net gpio_keys; do
    # A module without a file is built into this kernel.
    [ -e "/lib/modules/$(uname -r)/$module.ko" ] || continue
    modprobe "$module" || echo "sleepwalk: module $module does not load"
done

hostname sleepwalk
ip link set lo up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2

# The kernel sets its clock by the RTC only when the RTC's driver is ready first.
hwclock -s -u

# As Android's init: a service has a cgroup of its own in each hierarchy, and when it ends, all who
# are still in them are killed (Service::Reap, system/core/init/service.cpp).
in_groups='
    for root in /sys/fs/cgroup /acct; do
        [ -d "$root" ] || continue
        mkdir -p "$root/uid_0/pid_$$"
        echo $$ > "$root/uid_0/pid_$$/cgroup.procs"
    done
    exec "$@"
'

kill_groups() {
    for group in /sys/fs/cgroup/uid_0/pid_$1 /acct/uid_0/pid_$1; do
        [ -d "$group" ] || continue
        [ -e "$group/cgroup.kill" ] && echo 1 > "$group/cgroup.kill"
        # Before Linux 5.14 and in the older kind one by one, until no more are born.
        while [ -n "$(cat "$group/cgroup.procs")" ]; do
            kill -9 $(cat "$group/cgroup.procs") 2> /dev/null
            usleep 20000
        done
        rmdir "$group"
    done
}

# The set-ups of `vdev up --refuse`.
grep -qw sleepwalk.debugfs=none /proc/cmdline && umount /sys/kernel/debug
if [ -e /etc/selinux-policy ]; then
    cat /etc/selinux-policy > /sys/fs/selinux/load && echo 1 > /sys/fs/selinux/enforce
fi

cd /
echo "sleepwalk: device is up"
while :; do
    # A test may want another user, as adbd has on a user build.
    ADBD_PORT=5555 sh -c "$in_groups" sh $(cat /run/adbd 2> /dev/null || echo adbd) < /dev/null &
    adbd=$!
    wait "$adbd"
    echo "sleepwalk: adbd ended with $?"
    kill_groups "$adbd"
    sleep 1
done
