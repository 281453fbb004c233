//! Docker 28 and later: annotations, and a veth that arrives between create and start.

use crate::docker_claims;
use test_support::docker::{Docker, Release};

macro_rules! claims {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() {
            docker_claims::$name(&Docker::start(Release::Docker28));
        }
    )* };
}

claims! {
    with_bare_runc_everything_gets_out
    with_bare_runc_dns_gets_out_of_a_container_that_has_no_interface
    without_isolation_the_shim_leaves_every_network_as_it_is
    nothing_gets_out_of_an_isolated_container_whatever_its_network
    a_container_that_joins_anothers_network_is_isolated_too
    a_published_port_of_an_isolated_container_does_not_answer
    restart_stop_start_and_rm_keep_a_container_isolated
    exec_and_healthcheck_see_no_credentials
    a_network_connected_later_carries_nothing
    compose_isolates_the_service_that_asks_for_it
    settings_that_cannot_be_read_refuse_the_container_aloud
    an_answer_that_is_neither_yes_nor_no_is_refused_aloud
}

#[test]
fn the_daemons_environment_can_name_the_settings() {
    docker_claims::the_daemons_environment_can_name_the_settings(Release::Docker28);
}
