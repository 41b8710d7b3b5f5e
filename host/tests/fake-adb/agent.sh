#!/bin/sh
# A fake agent. $FAKE/version is the version that it reports, $FAKE/canned the trace that it writes,
# $FAKE/fails its error, $FAKE/warns its warnings.
case $1 in
    version)
        cat "$FAKE/version"
        ;;
    doctor)
        cat "$FAKE/doctor"
        grep -q missing "$FAKE/doctor" && exit 4
        exit 0
        ;;
    record)
        [ -f "$FAKE/fails" ] && { cat "$FAKE/fails" >&2; exit "$(cat "$FAKE/code")"; }
        [ -f "$FAKE/warns" ] && cat "$FAKE/warns" >&2
        [ "$2" = -o ] && out=$3
        left=600
        [ "$4" = -d ] && case $5 in
            *ms) left=$((${5%ms} / 100)) ;;
            *m) left=$((${5%m} * 600)) ;;
            *) left=$((${5%s} * 10)) ;;
        esac
        end() {
            cp "$FAKE/canned" "$out"
            exit 0
        }
        trap end TERM
        [ -f "$FAKE/stubborn" ] && trap '' TERM
        [ -f "$FAKE/mute" ] || echo ready
        while [ "$left" -gt 0 ]; do
            sleep 0.1
            left=$((left - 1))
            [ "$left" -lt 4 ] && [ -f "$FAKE/dies" ] && { cp "$FAKE/canned" "$out"; echo "sleepwalkd: disk full" >&2; exit 1; }
        done
        end
        ;;
esac
