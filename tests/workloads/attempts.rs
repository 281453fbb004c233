//! What programs are told that try to reach something, where attempts are counted and where not: an error, at once in both
//! cases, and mostly of the same kind. docs/attempts.md has the table.

use super::container::{COUNTING, Container};

/// By program: what it is told where nothing is counted, and where attempts are.
const TOLD: [(&str, &str, &str); 15] = [
    ("tcp", "ENETUNREACH", "ECONNREFUSED"),
    ("tcp6", "ENETUNREACH", "ECONNREFUSED"),
    ("udp", "ENETUNREACH", "EPERM"),
    ("own-address", "ENETUNREACH", "127.0.0.1"),
    ("resolver", "gaierror -3", "gaierror -3"),
    ("localhost", "2", "2"),
    ("requests", "ConnectionError ENETUNREACH", "ConnectionError ECONNREFUSED"),
    ("requests-name", "ConnectionError", "ConnectionError"),
    ("boto3", "EndpointConnectionError 5", "EndpointConnectionError 5"),
    ("boto3-no-credentials", "None", "None"),
    ("java", "SocketException: Network is unreachable", "ConnectException: Connection refused"),
    ("java-name", NO_NAME, NO_NAME),
    ("node", "ENETUNREACH", "ECONNREFUSED"),
    ("node-name", "EAI_AGAIN", "EAI_AGAIN"),
    ("node-c-ares", "ECONNREFUSED", "ECONNREFUSED"),
];

const NO_NAME: &str = "UnknownHostException: host.example: Temporary failure in name resolution";

#[test]
fn programs_are_told_as_before_that_nothing_is_reached() {
    let script = "cd /tmp; javac -d /tmp /work/Reach.java; exec python3 /work/reach.py \
        java='java -cp /tmp Reach 1.2.3.4' java-name='java -cp /tmp Reach name' \
        node='node /work/reach.js 1.2.3.4' node-name='node /work/reach.js name' node-c-ares='node /work/reach.js c-ares'";
    let mut container = Container::of(script);
    for counts in [false, true] {
        container.settings = if counts { COUNTING } else { "" };
        let said = container.host(true, r#"exec $R run --bundle "$D/bundle" web"#);
        println!("{}", said.out);
        let lines = said.out.lines().map(|line| serde_json::from_str::<(String, String, f64)>(line).unwrap());
        let told: Vec<_> = lines.map(|(program, told, _)| (program, told)).collect();
        let expected = TOLD.map(|(program, without, with)| (program, if counts { with } else { without }));
        let expected: Vec<_> = expected.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        assert_eq!(told, expected, "{}", said.err);
    }
}
