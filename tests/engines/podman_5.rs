//! Podman 5.8 of Debian sid: pasta carries the network of containers without root.

use crate::podman_claims;
use test_support::podman::{Podman, Release, User};

macro_rules! claims {
    ($user:ident: $($name:ident)*) => { $(
        #[test]
        fn $name() {
            podman_claims::$name(&Podman::start(Release::Podman5, User::$user));
        }
    )* };
}

claims! { Root:
    with_bare_runc_and_with_the_shim_unasked_everything_gets_out
    nothing_gets_out_of_an_isolated_container_whatever_its_network
    in_mode_always_the_containers_of_a_pod_share_localhost_and_nothing_else
    exec_sees_no_credentials_and_no_secret_that_is_one
    a_network_connected_later_carries_nothing
    hooks_of_others_still_run
    a_pod_of_kube_play_is_isolated_by_the_settings_or_does_not_start
    a_refusal_is_shown_by_podman
}

claims! { Rootless:
    rootless_it_is_the_same
    a_rootless_pod_of_kube_play_is_isolated_by_the_settings_or_does_not_start
}

#[test]
fn with_crun_behind_the_shim_it_is_the_same() {
    podman_claims::with_crun_behind_the_shim_it_is_the_same(Release::Podman5);
}
