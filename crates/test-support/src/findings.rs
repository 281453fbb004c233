//! Claims that are all checked before the test fails: one run of an engine takes seconds, and a second
//! failure often explains the first.

/// The failed claims.
#[derive(Default)]
pub struct Findings(Vec<String>);

impl Findings {
    /// Notes `complaint` unless the claim holds.
    pub fn claim(&mut self, holds: bool, complaint: impl Into<String>) {
        if !holds {
            self.0.push(complaint.into());
        }
    }

    /// Takes over complaints about `what`.
    pub fn about(&mut self, what: &str, complaints: Vec<String>) {
        self.0.extend(complaints.into_iter().map(|complaint| format!("{what}: {complaint}")));
    }

    /// Fails the test if any claim failed.
    #[track_caller]
    pub fn settle(self) {
        let count = self.0.len();
        assert!(count == 0, "{count} claims do not hold:\n- {}\n", self.0.join("\n- "));
    }
}
