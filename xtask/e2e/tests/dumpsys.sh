#!/system/bin/sh
# A stand-in for Android's dumpsys, after the documented layouts. Its state is in /run/android: a folder for each
# native wakelock with `pid`, `total` in ms, and while it is held `since` in ms of CLOCK_BOOTTIME; `apps`, the lines of
# held app wakelocks; `alarms`, a count; and `fault`, a way to fail.
cd /run/android || exit 1
now() {
    read -r up _ < /proc/uptime
    echo "${up%.*}${up#*.}0"
}
case $(cat fault 2> /dev/null) in
    hang) exec sleep 1000 ;;
    huge) exec yes "  a line of a service that prints and prints" ;;
    empty) exit 0 ;;
    denied)
        echo "Can't find service: $1" >&2
        exit 20
        ;;
esac
case $1 in
    suspend_control_internal)
        echo " | NAME                           | PID    | TYPE   | STATUS   | ACTIVE COUNT | TOTAL TIME   | MAX TIME     | LAST CHANGE      | "
        for lock in locks/*; do
            total=$(cat "$lock/total") status=Inactive
            if [ -e "$lock/since" ]; then
                status=Active total=$((total + $(now) - $(cat "$lock/since")))
            fi
            printf ' | %-30s | %6s | Native | %-8s | %12s | %10sms | %10sms | %14sms | \n' \
                "${lock#locks/}" "$(cat "$lock/pid")" "$status" 0 "$total" "$total" 7
        done
        ;;
    power)
        printf 'POWER MANAGER (dumpsys power)\n\nWake Locks: size=1\n'
        cat apps 2> /dev/null
        printf '\nSuspend Blockers: size=1\n  PowerManagerService.WakeLocks: ref count=1\n'
        ;;
    alarm)
        n=$(cat alarms)
        echo "Current Alarm Manager state:"
        echo "  Alarm Stats:"
        echo "  u0a86:com.android.chatty +1s0ms running, $n wakeups:"
        echo "    +1s0ms $n wakes $n alarms, last -1s5ms:"
        echo "      *walarm*:com.android.chatty/.Poll"
        ;;
    *) echo "Can't find service: $1" >&2 ;;
esac
