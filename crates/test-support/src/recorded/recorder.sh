#!/bin/busybox sh
# Stands where runc would: writes down how it was called, one directory for each call below calls/, and then does
# what the test says in "behave". A subshell looks at the descriptors, so that this shell has none of its own but the
# script's.
d=${0%/*}
# What the shim asks a runtime once is not a call of the engine's.
if [ "$*" = features ]; then
    echo '{"linux": {"seccomp": {"enabled": true}}, "annotations": {"io.github.seccomp.libseccomp.version": "2.5.4"}}'
    exit
fi
n=0
until /bin/busybox mkdir "$d/calls/$n" 2>/dev/null; do
    [ -d "$d/calls/$n" ] || exit 97
    n=$((n + 1))
done
call=$d/calls/$n
/bin/busybox cp /proc/$$/cmdline /proc/$$/environ /proc/$$/limits /proc/$$/status "$call/"
(exec /bin/busybox ls -ld /proc/$$/cwd /proc/$$/fd/* >"$call/links")
(exec /bin/busybox grep -r flags: /proc/$$/fdinfo >"$call/flags")
[ ! -f "$d/bundle/config.json" ] || /bin/busybox cp "$d/bundle/config.json" "$call/config"
process= pid_file= last=
for word; do
    case $last in
    --process | -process | -p) process=$word ;;
    --pid-file) pid_file=$word ;;
    esac
    case $word in
    --process=* | -p=*) process=${word#*=} ;;
    --pid-file=*) pid_file=${word#*=} ;;
    esac
    last=$word
done
[ -z "$process" ] || /bin/busybox cat "$process" >"$call/process"
[ ! -e "$d/behave" ] || . "$d/behave"
