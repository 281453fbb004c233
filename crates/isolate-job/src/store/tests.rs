//! A directory of jobs on a real file system.

use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::AtomicBool;
use std::thread;

use serde_json::{Value, json};

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path().join("jobs"));
    (directory, store)
}

#[test]
fn a_job_is_created_once_and_only_its_owner_can_read_it() {
    let (_directory, store) = store();
    assert!(store.list().unwrap().is_empty());
    let job = store.create("a", b"{}", &json!({ "n": 1 })).unwrap();
    let NotCreated::InUse(why) = store.create("a", b"other", &json!({})).unwrap_err() else { panic!() };
    assert!(why.starts_with("ResourceInUse: a exists in "), "{why}");
    assert_eq!(job.request().unwrap(), b"{}");
    assert_eq!(job.status::<Value>().unwrap(), json!({ "n": 1 }));
    for (path, mode) in [("", 0o700), ("request.json", 0o600), ("status.json", 0o600), ("log", 0o700)] {
        assert_eq!(fs::metadata(job.path(path)).unwrap().mode() & 0o777, mode, "{path}");
    }
    store.create("b", b"{}", &json!({})).unwrap();
    let names: Vec<_> = store.list().unwrap().into_iter().map(|job| job.name).collect();
    assert_eq!(names, ["a", "b"]);
    store.job("a").unwrap().remove().unwrap();
    for name in ["a", "", "..", ".b", "b/../b", "c"] {
        assert!(store.job(name).unwrap_err().to_string().starts_with("there is no job "), "{name}");
    }
}

#[test]
fn a_job_has_one_supervisor_at_a_time() {
    let (_directory, store) = store();
    let job = store.create("a", b"{}", &json!({})).unwrap();
    assert!(!job.is_supervised().unwrap());
    let lock = job.lock().unwrap();
    assert!(job.is_supervised().unwrap());
    assert!(job.lock().unwrap_err().to_string().contains("is supervised by another process"));
    lock.release();
    assert!(!job.is_supervised().unwrap());
}

/// A process that is being started has a copy of every descriptor until its exec.
#[test]
fn a_lock_that_is_released_is_free_while_other_threads_start_processes() {
    let (_directory, store) = store();
    let job = store.create("a", b"{}", &json!({})).unwrap();
    let is_over = AtomicBool::new(false);
    let held = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // `pre_exec` would do, but is unsafe: a program that is not found is looked for in a while.
                    let _ = std::process::Command::new("true").env("PATH", "/nowhere:".repeat(200)).status();
                }
            });
        }
        let held = (0..1000)
            .filter(|_| {
                job.lock().unwrap().release();
                job.is_supervised().unwrap()
            })
            .count();
        is_over.store(true, Ordering::Relaxed);
        held
    });
    assert_eq!(held, 0);
}

#[test]
fn a_failure_file_is_a_regular_file_and_its_beginning_is_enough() {
    let (_directory, store) = store();
    let job = store.create("a", b"{}", &json!({})).unwrap();
    assert_eq!(job.failure_file("algo-1").unwrap(), None);
    let output = job.path("algo-1/opt-ml/output");
    fs::create_dir_all(&output).unwrap();
    let file = output.join("failure");
    assert_eq!(job.failure_file("algo-1").unwrap(), None);
    fs::write(&file, "no such column").unwrap();
    assert_eq!(job.failure_file("algo-1").unwrap().unwrap(), b"no such column");

    // A file of a GiB, which is not read to its end.
    fs::File::create(&file).unwrap().set_len(1 << 30).unwrap();
    assert_eq!(job.failure_file("algo-1").unwrap().unwrap().len(), 4096);

    let secret = job.path("request.json");
    fs::remove_file(&file).unwrap();
    symlink(&secret, &file).unwrap();
    assert_eq!(job.failure_file("algo-1").unwrap(), None);
    fs::remove_file(&file).unwrap();
    rustix::fs::mknodat(CWD, &file, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert_eq!(job.failure_file("algo-1").unwrap(), None);
    // And a directory above that leads elsewhere.
    fs::remove_dir_all(&output).unwrap();
    fs::create_dir(job.path("elsewhere")).unwrap();
    fs::write(job.path("elsewhere/failure"), "secret").unwrap();
    symlink(job.path("elsewhere"), &output).unwrap();
    assert_eq!(job.failure_file("algo-1").unwrap(), None);
}

#[test]
fn data_is_removed_and_the_rest_stays() {
    let (_directory, store) = store();
    let job = store.create("a", b"{}", &json!({})).unwrap();
    fs::create_dir_all(job.path("algo-1/opt-ml/model")).unwrap();
    symlink("/etc", job.path("algo-1/opt-ml/model/link")).unwrap();
    job.remove_data(&["algo-1".to_owned(), "algo-2".to_owned()]).unwrap();
    assert!(
        !job.path("algo-1").exists()
            && job.path("request.json").exists()
            && Path::new("/etc/passwd").exists()
    );
    let outcome = Outcome { end: End::Completed, uploaded: false };
    assert_eq!(job.outcome().unwrap(), None);
    job.set_outcome(&outcome).unwrap();
    assert_eq!(job.outcome().unwrap(), Some(outcome));
}

#[test]
fn a_job_appears_complete_and_locked_or_not_at_all() {
    let (directory, store) = store();
    let fill = |job: &Job| job.replace("more", b"x");
    let (job, lock) = store.create_with("a", b"{}", &json!({}), fill).unwrap();
    assert!(job.path("more").is_file() && job.is_supervised().unwrap());
    drop(lock);
    let failed = store.create_with("b", b"{}", &json!({}), |_| anyhow::bail!("no")).unwrap_err();
    assert!(matches!(failed, NotCreated::Failed(why) if why.to_string() == "no"));
    let in_use = store.create_with("a", b"{}", &json!({}), |_| Ok(())).unwrap_err();
    assert!(matches!(in_use, NotCreated::InUse(_)));
    let names = |store: &Store| store.names().unwrap();
    assert_eq!(names(&store), ["a"]);

    // What a process left that was killed, and what one is at work on.
    let below = directory.path().join("jobs");
    let ended = std::process::Command::new("true").spawn().and_then(|mut child| {
        child.wait()?;
        Ok(child.id())
    });
    let (left, used) = (format!(".c-1.{}.7", ended.unwrap()), format!(".c-1.{}.1000000", std::process::id()));
    for name in [&left, &used, &".models".to_owned()] {
        fs::create_dir_all(below.join(name).join("log")).unwrap();
    }
    store.create("d", b"{}", &json!({})).unwrap();
    assert_eq!(names(&store), [used.as_str(), ".models", "a", "d"]);
}

/// An error must not read as "there is no such file": results would be uploaded that are not to be trusted.
#[test]
fn what_cannot_be_looked_at_is_an_error() {
    let (_directory, store) = store();
    let job = store.create("a", b"{}", &json!({})).unwrap();
    assert!(!job.is_proof_expected().unwrap());
    job.expect_proof().unwrap();
    assert!(job.is_proof_expected().unwrap());
    job.trust().unwrap();
    for name in ["unproven.json", "outcome.json"] {
        symlink(name, job.path(name)).unwrap();
    }
    assert!(job.is_proof_expected().unwrap_err().to_string().starts_with("cannot look at "));
    assert!(job.outcome().unwrap_err().to_string().starts_with("cannot look at "));
}

#[test]
fn a_lock_is_that_of_the_job_that_has_the_name_now() {
    let (_directory, store) = store();
    let old = store.create("a", b"{}", &json!({})).unwrap();
    let lock = old.lock().unwrap();
    store.job("a").unwrap().remove().unwrap();
    let (_new, of_new) = store.create_with("a", b"{}", &json!({}), |_| Ok(())).unwrap();
    drop(lock);
    assert!(old.lock_if_free().unwrap().is_none());
    drop(of_new);
    assert!(old.lock_if_free().unwrap().is_some());
}

/// A job that begins again, and cannot keep what it is given now, must not be stated with what it was given before.
#[test]
fn what_is_stated_is_forgotten_when_a_job_begins_anew() {
    let (_directory, store) = store();
    let job = store.create("a", b"{}", &json!({})).unwrap();
    job.forget_stated().unwrap();
    job.set_stated(&Stated::default()).unwrap();
    assert_eq!(job.stated().unwrap(), Some(Stated::default()));
    job.forget_stated().unwrap();
    assert_eq!(job.stated().unwrap(), None);
}
