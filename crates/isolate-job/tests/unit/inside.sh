#!/bin/sh
# What check.service runs: an engine, an S3 server, the unit, and a client. DIRECTORY/outcome is `done` if all went well.
#
# inside.sh DIRECTORY CACHE docker|podman
set -eu
dir=$1 cache=$2 engine=$3
trap 'echo "ended with $?" >"$dir/outcome.new"; mv "$dir/outcome.new" "$dir/outcome"' EXIT
cd "$dir"

case $engine in
docker)
    # Docker 28 in a root of its own; its state and the shim's are the host's.
    root=/run/docker-root
    mkdir -p /run/over $root
    mount -t tmpfs tmpfs /run/over
    mkdir /run/over/upper /run/over/work
    mount -t overlay -o "lowerdir=$cache/sid,upperdir=/run/over/upper,workdir=/run/over/work" overlay $root
    mount -t proc proc $root/proc
    mount -t sysfs sysfs $root/sys
    mkdir -p "$root$dir" $root/var/lib/oci-isolate $root/var/lib/docker
    for shared in /sys/fs/cgroup /dev /run; do mount --rbind $shared $root$shared; done
    for shared in "$dir" /var/lib/oci-isolate /var/lib/docker; do mount --bind "$shared" "$root$shared"; done
    cp /usr/bin/oci-isolate $root/usr/bin/
    cat >$root/etc/docker/daemon.json <<JSON
{"runtimes": {"oci-isolate": {"path": "/usr/bin/oci-isolate"}}, "cgroup-parent": "/oci-isolate-unit-docker", "iptables": false, "storage-driver": "vfs"}
JSON
    printf '#!/bin/sh\nexec chroot %s /usr/bin/docker "$@"\n' $root >/usr/bin/docker-28
    chmod 755 /usr/bin/docker-28
    systemd-run --quiet --unit=dockerd --property=Delegate=yes chroot $root /usr/sbin/dockerd
    until docker-28 version >/dev/null 2>&1; do sleep 0.2; done
    client=/usr/bin/docker-28
    ;;
podman)
    isolatectl install podman --runtime-path /usr/bin/oci-isolate
    install -D -m 644 units/isolate-job-podman.conf /etc/systemd/system/isolate-job.service.d/podman.conf
    client=/usr/bin/podman
    ;;
esac
$client import "$dir/image.tar" image >/dev/null

systemd-run --quiet --unit=s3 env S3_IGNORE_SUBDOMAIN_BUCKETNAME=true "$cache/s3/moto-5.2.5/bin/moto_server" -p 5000
printf 'engine = "%s"\nengine-path = "%s"\n[s3]\naddressing = "path"\n' "$engine" $client >/etc/oci-isolate/job.toml
cat >/etc/oci-isolate/job.env <<ENV
AWS_ACCESS_KEY_ID=test
AWS_SECRET_ACCESS_KEY=test
AWS_REGION=eu-west-1
AWS_ENDPOINT_URL_S3=http://127.0.0.1:5000
AWS_ENDPOINT_URL_STS=http://127.0.0.1:5000
ENV
(umask 077 && printf '[[key]]\naccess-key-id = "AKIATEST"\nsecret-access-key = "a secret of the tests"\n' >/etc/oci-isolate/keys.toml)
systemctl daemon-reload
systemctl start isolate-job
"$cache/sagemaker/venv/bin/python3" client.py
systemctl stop isolate-job
trap - EXIT
echo 'done' >outcome.new
mv outcome.new outcome
