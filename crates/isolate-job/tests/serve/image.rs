//! The image of the tests: `train` writes what it finds into the model, `serve` answers with what it finds.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use test_support::command::say;
use test_support::image;

/// Its data becomes the model.
const TRAIN: &str = r##"#!/bin/bash
trap 'exit 0' TERM
cp /opt/ml/input/data/train/x.csv /opt/ml/model/weights
ls /sys/class/net
x=$(sed -n 's/.*"x":"\([0-9]*\)".*/\1/p' /opt/ml/input/config/hyperparameters.json)
[ -z "$x" ] || echo score=$x
for line in {1..2000}; do echo line $line; done
[ ! -e /opt/ml/input/data/train/wait ] || while :; do sleep 0.1; done
"##;

/// The model, and what of the host and of its network can be seen. `fail` is an error of the model's.
const ANSWER: &str = "#!/bin/bash
case $BODY in
fail) echo no such column; exit 1 ;;
end) kill -KILL $PPID; kill -TERM 1 ;;
wait) [ \"$MODE\" = quick ] || { echo waiting >&2; sleep 100; } ;;
pause) sleep 3 ;;
large) head -c 5000000 /dev/zero; exit ;;
esac
echo weights $(cat /opt/ml/model/weights)
echo body $BODY
echo links $(ls /sys/class/net)
echo secrets $(env | grep -c '^AWS_SECRET')
[ -z \"$SAGEMAKER_BATCH\" ] || echo batch $SAGEMAKER_BATCH_STRATEGY $MODE
for address in 203.0.113.7/80 169.254.169.254/80 172.17.0.1/5000; do
    timeout 2 bash -c \"exec 3<>/dev/tcp/$address\" 2>/dev/null && echo reached $address
done
exit 0
";

/// Packs it.
pub(crate) fn pack(tar: &Path) {
    let root = tempfile::tempdir().unwrap();
    image::rootfs(root.path());
    let write = |name: &str, text: &str| {
        let path = root.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    write("bin/train", TRAIN);
    write("bin/answer", ANSWER);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve/server.c");
    let mut compile = Command::new("cc");
    say(compile
        .args(["-D_GNU_SOURCE", "-O1", "-static", "-o"])
        .arg(root.path().join("bin/serve"))
        .arg(source))
    .must();
    let mut archive = Command::new("tar");
    say(archive.arg("-C").arg(root.path()).args(["--owner=0", "--group=0", "-cf"]).arg(tar).arg(".")).must();
}
