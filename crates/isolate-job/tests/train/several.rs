//! Several containers: they reach each other by name and nothing else.

use std::fs;

use serde_json::json;

use crate::site::{Asked, Site, asked, transitions};

/// Its first act is to look up every host; then each serves a word and fetches the other's, and tries to leave.
const MEETS: &str = r#"
own=$(hostname)
for host in algo-1 algo-2; do getent hosts $host >/dev/null 2>&1 || grep -qw $host /etc/hosts || { echo "$host does not resolve"; exit 1; }; done
[ $own = algo-1 ] && other=algo-2 || other=algo-1
interface=$(grep -o '"network_interface_name":"[a-z0-9]*"' /opt/ml/input/config/resourceconfig.json | cut -d'"' -f4)
[ -e /sys/class/net/$interface ] || { echo "there is no $interface"; exit 1; }
mkdir /tmp/www; echo "from $own" >/tmp/www/index.html; httpd -p 8000 -h /tmp/www
for try in $(seq 100); do wget -qO /tmp/got http://$other:8000/ 2>/dev/null && break; sleep 0.1; done
echo "$own got $(cat /tmp/got)"
for address in 203.0.113.7 198.51.100.2 169.254.169.254; do
    timeout 2 bash -c "exec 3<>/dev/tcp/$address/80" 2>/dev/null && echo "$own reached $address"
done
for host in $GATEWAYS; do timeout 2 bash -c "exec 3<>/dev/tcp/$host/80" 2>/dev/null && echo "$own reached $host"; done
echo $own >/opt/ml/model/$own; echo same >/opt/ml/output/data/$own; mkdir -p /opt/ml/checkpoints; echo $own >/opt/ml/checkpoints/$own
sleep 2
exit 0
"#;

fn several(site: &Site) {
    let two = json!({ "InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1 });
    let checkpoints = json!({ "S3Uri": "s3://results/checkpoints" });
    let more = json!({ "ResourceConfig": two, "CheckpointConfig": checkpoints });
    fs::write(site.path("s3/data/train/meets.sh"), MEETS).unwrap();
    let script = "exec bash /opt/ml/input/data/train/meets.sh";
    let done = site.train(&Asked { more: more.clone(), ..asked("meets", script) });
    assert_eq!(done.status, Some(0), "{done}");
    let mut lines: Vec<_> = done.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["algo-1 algo-1 got from algo-2", "algo-2 algo-2 got from algo-1"], "{done}");
    // The results of both are one.
    let model = site.archive("meets", "model");
    assert_eq!(model.lines().collect::<std::collections::BTreeSet<_>>(), ["algo-1", "algo-2"].into());
    assert_eq!(site.archive("meets", "output"), "same\nsame");
    for host in ["algo-1", "algo-2"] {
        assert_eq!(fs::read_to_string(site.path("s3/results/checkpoints").join(host)).unwrap().trim(), host);
    }
    assert_eq!(site.left_over("meets"), [""; 0]);
    let logs = site.job(&["logs", "meets", "--host", "algo-2"]).must();
    assert_eq!(logs, "algo-2 got from algo-1");

    // One that fails ends the others.
    let script = "[ $(hostname) = algo-1 ] || { echo broken >/opt/ml/output/failure; exit 4; }; trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let done = site.train(&Asked { more, ..asked("one-fails", script) });
    assert_eq!(done.status, Some(1), "{done}");
    assert_eq!(done.err, "AlgorithmError: broken, exit code: 4");
    assert_eq!(transitions(&site.describe("one-fails")).last().unwrap(), "Failed");
}

#[test]
fn docker_28_two_containers_reach_each_other_by_name_and_nothing_else() {
    several(&Site::docker());
}

#[test]
fn podman_5_two_containers_reach_each_other_by_name_and_nothing_else() {
    several(&Site::podman());
}
