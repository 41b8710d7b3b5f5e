#!/usr/bin/busybox sh
# The virtual device's first and only service: mounts, the network, then adbd for ever.
# Its output is the console, `target/vdev/run/NAME/console.log`.

export PATH=/usr/bin:/usr/sbin HOME=/data/local/tmp
/usr/bin/busybox --install -s /usr/bin

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
# Not the initial ramdisk itself: that one cannot allocate ahead (fallocate), and has no limit.
mount -t tmpfs -o size=256m,mode=0771 tmpfs /data
mkdir -p /data/local/tmp
chmod 0771 /data/local/tmp

# Root's adb may read kernel addresses, as an unlocked phone's can.
echo 1 > /proc/sys/kernel/kptr_restrict

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

cd /
echo "sleepwalk: device is up"
while :; do
    ADBD_PORT=5555 adbd < /dev/null
    echo "sleepwalk: adbd ended with $?"
    sleep 1
done
