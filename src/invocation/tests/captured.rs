//! Command lines of engines: each file of tests/data/argv has command lines and their results.

use super::{Dialect, argv, read, summary};

fn every_line_is_read(dialect: Dialect, file: &str) {
    let lines: Vec<&str> = file.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() > 6 && lines.chunks_exact(2).remainder().is_empty());
    for pair in lines.chunks(2) {
        let said = summary(&read(dialect, &argv(pair[0]))).replace(dialect.name(), "runc");
        assert_eq!(format!("= {said}"), pair[1], "{}", pair[0]);
    }
}

#[test]
fn docker_is_understood_by_the_runtimes_that_restore() {
    for dialect in [Dialect::Runc, Dialect::Crun] {
        every_line_is_read(dialect, include_str!("../../../tests/data/argv/docker.txt"));
    }
}

#[test]
fn containerd_is_understood_in_every_dialect() {
    for dialect in [Dialect::Runc, Dialect::Crun, Dialect::Youki] {
        every_line_is_read(dialect, include_str!("../../../tests/data/argv/containerd.txt"));
    }
}

#[test]
fn podman_is_understood_in_every_dialect() {
    for dialect in [Dialect::Runc, Dialect::Crun, Dialect::Youki] {
        every_line_is_read(dialect, include_str!("../../../tests/data/argv/podman.txt"));
    }
}
