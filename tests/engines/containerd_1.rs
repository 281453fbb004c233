//! containerd 1.6 of Debian 12.

use crate::{containerd_claims, plumbed};
use test_support::containerd::{Containerd, Release};

macro_rules! claims {
    ($claims:ident: $($name:ident)*) => { $(
        #[test]
        fn $name() {
            $claims::$name(&Containerd::start(Release::Containerd1));
        }
    )* };
}

claims! { containerd_claims:
    with_bare_runc_and_with_the_shim_unasked_everything_gets_out
    nothing_gets_out_of_an_isolated_container_whatever_its_network
    a_task_exec_sees_no_credentials_and_keeps_its_exit_status
    a_veth_that_a_hook_plumbs_is_sealed_and_everybodys_hooks_run
    a_refusal_is_shown_by_ctr
}

claims! { plumbed:
    containerd_an_open_port_is_answered_however_cni_plumbs
    containerd_peers_in_namespaces_of_cni_reach_each_other_and_nobody_else
    a_namespace_that_outlives_its_containers_is_given_back_when_nobody_is_in_it
    a_process_with_a_thread_outside_is_no_stranger_in_a_namespace_that_is_opened
}
