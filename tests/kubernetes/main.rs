//! Pods, with the requests that kubelet sends to containerd's CRI plugin: 1.6 and 2.x, real CNI, real runc, and a client
//! generated from the API's protobuf file. `hack/engines` and `hack/kubernetes/prepare` install what is needed; the tests
//! need root.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]
#![allow(clippy::print_stderr, reason = "what a daemon said is wanted when its test fails")]

mod crio;
mod daemonset;
mod hold;
mod install;
mod manifests;
mod node;
mod platform;
mod pods;
mod samples;
mod volumes;

use node::Release;

macro_rules! claims {
    ($($module:ident: $($name:ident)*;)*) => {
        mod containerd_1 { $($(
            #[test]
            fn $name() { super::$module::$name(super::Release::One); }
        )*)* }
        mod containerd_2 { $($(
            #[test]
            fn $name() { super::$module::$name(super::Release::Two); }
        )*)* }
    };
}

claims! {
    daemonset:
        it_comes_onto_a_node_and_goes_again_and_leaves_the_node_as_it_was;
    hold:
        the_address_of_a_member_is_taken_while_delete_waits;
    install:
        as_the_default_all_pods_go_through_it_until_it_is_taken_out;
    samples:
        the_sample_pod_and_job_do_what_their_comments_say
        the_platforms_containers_of_the_samples_have_a_network_and_the_others_have_none;
    platform:
        data_moves_by_the_platforms_containers_around_an_isolated_one
        the_isolated_container_finds_nothing_of_the_platforms
        containers_of_either_kind_restart_in_any_order_and_the_pod_leaves_nothing
        a_pod_whose_platform_containers_cannot_be_kept_apart_is_refused
        where_settings_demand_isolation_only_the_platforms_image_keeps_the_network
        where_settings_demand_isolation_the_platforms_image_runs_the_platforms_program_only;
    pods:
        the_containers_of_an_isolated_pod_share_localhost_and_reach_nothing_else
        what_a_pod_tries_is_counted_and_written_down
        probes_exec_logs_and_a_restart_work_and_removal_leaves_nothing
        port_forward_reaches_a_pod_but_not_an_isolated_one
        an_ingress_pod_answers_on_its_address_and_to_probes_and_reaches_nobody
        peer_pods_reach_each_other_and_nobody_else
        a_job_ends_at_its_kubernetes_namespace
        a_pod_without_the_annotation_is_untouched
        no_token_that_the_platform_mounts_is_in_an_isolated_container
        what_cannot_be_isolated_is_refused_in_words
        an_annotation_of_one_container_of_an_open_pod_is_refused
        containers_of_an_isolated_pod_share_processes_and_volumes
        annotations_that_the_configuration_holds_back_isolate_nothing_and_leave_no_record;
}
