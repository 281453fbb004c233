//! A tuning job from its request to its end. It creates training jobs, so many at a time, and each is an ordinary one with processes of its
//! own, as `train --detach` starts them; the objective is what they have in their status. This process has credentials for no other
//! reason than to start them. Which training jobs there are follows from the request, so that `resume` continues with the same.

mod accept;
mod run;
mod trials;
mod view;

pub use accept::accept;
pub use run::tune;
pub use trials::{Trial, trials};
