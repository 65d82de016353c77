//! gorouter's families of cases, and the tests that play them here.

use super::Family;

pub(super) const FAMILIES: &[Family] = &[
    Family {
        id: "S1",
        name: "targets are not touched",
        original: 16,
        tests: &[
            ("router/tests/it/wire/targets.rs", &[]),
            ("router/src/proxy/intake.rs", &[]),
            ("router/tests/it/headers.rs", &["the_request_line_is_passed_on_byte_for_byte"]),
        ],
        fewer: "",
    },
    Family {
        id: "S2",
        name: "forwarded headers",
        original: 40,
        tests: &[
            ("router/tests/it/wire/forwarded.rs", &[]),
            (
                "router/tests/it/wire/rules.rs",
                &[
                    "the_clients_scheme_may_be_replaced",
                    "some_headers_cannot_be_taken_away_by_connection",
                ],
            ),
            (
                "router/tests/it/headers.rs",
                &[
                    "endpoints_learn_who_asks_and_who_they_are",
                    "every_request_gets_a_new_id_that_the_client_learns",
                    "an_answers_own_headers_are_kept_and_its_hops_are_not",
                ],
            ),
            ("appliance/tests/router/tables/forwarded.rs", &[]),
            (
                "router/tests/it/services/returning.rs",
                &["what_a_router_said_before_the_service_counts_afterwards"],
            ),
            ("router/src/proxy/outbound.rs", &[]),
        ],
        fewer: "",
    },
    Family {
        id: "S3",
        name: "`100-continue` and other informational answers",
        original: 8,
        tests: &[
            ("router/tests/it/wire/informational.rs", &[]),
            (
                "router/tests/it/bodies.rs",
                &[
                    "a_client_is_told_to_continue_only_when_the_endpoint_wants_the_body",
                    "a_connection_of_a_continue_is_used_again_unless_the_rules_end_it",
                ],
            ),
        ],
        fewer: "",
    },
    Family {
        id: "S4",
        name: "framing: chunks, lengths, no body",
        original: 6,
        tests: &[
            ("router/tests/it/wire/bodies.rs", &[]),
            (
                "router/src/h1/tests.rs",
                &["requests_end_where_they_say", "answers_end_where_they_say"],
            ),
            (
                "router/tests/it/bodies.rs",
                &[
                    "both_framings_are_kept_both_ways",
                    "answers_without_a_body_have_none_and_leave_the_connection_usable",
                    "trailers_follow_the_body",
                ],
            ),
        ],
        fewer: "",
    },
    Family {
        id: "S5",
        name: "reading while writing",
        original: 2,
        tests: &[(
            "router/tests/it/bodies.rs",
            &["an_answer_may_flow_while_the_request_does", "events_pass_at_once"],
        )],
        fewer: "",
    },
    Family {
        id: "S6",
        name: "answers rewritten",
        original: 6,
        tests: &[
            ("appliance/tests/router/tables/rewrites.rs", &[]),
            ("router/tests/it/wire/rules.rs", &["answers_may_be_rewritten"]),
            (
                "router/src/proxy/answer/tests.rs",
                &[
                    "answers_are_rewritten_but_for_their_framing",
                    "an_endpoints_head_keeps_its_own_words_and_loses_its_hop",
                    "who_may_know_is_told_which_endpoint_answered",
                ],
            ),
        ],
        fewer: "",
    },
    Family {
        id: "S7",
        name: "overload, slow apps, clients that leave",
        original: 8,
        tests: &[
            (
                "router/tests/it/instances.rs",
                &["when_every_instance_has_enough_to_do_clients_are_told"],
            ),
            (
                "router/tests/it/failures.rs",
                &[
                    "when_every_endpoint_refuses_the_client_learns_that_and_why",
                    "a_dead_endpoint_is_passed_over_for_any_method_with_its_body",
                    "an_endpoint_that_never_answers_is_given_up",
                    "a_slow_upload_is_not_a_slow_endpoint",
                ],
            ),
            (
                "router/tests/it/bodies.rs",
                &[
                    "an_upload_that_breaks_off_breaks_off_at_the_endpoint_too",
                    "a_download_that_the_client_leaves_is_ended_at_the_endpoint",
                    "a_client_that_leaves_before_the_answer_frees_the_endpoint",
                    "an_answer_that_breaks_off_never_looks_complete",
                ],
            ),
        ],
        fewer: "",
    },
    Family {
        id: "S8",
        name: "TLS to endpoints",
        original: 15,
        tests: &[
            ("appliance/tests/router/tables/tls.rs", &[]),
            ("router/tests/it/tls/endpoints.rs", &[]),
        ],
        fewer: "",
    },
    Family {
        id: "S9",
        name: "access lines",
        original: 18,
        tests: &[
            ("appliance/tests/router/tables/access_lines.rs", &[]),
            ("appliance/tests/router/lines.rs", &[]),
            (
                "appliance/tests/router/names.rs",
                &["a_metron_agent_that_has_no_address_yet_is_found_when_it_has_one"],
            ),
            ("router/src/access_log.rs", &[]),
            ("router/src/alone/access.rs", &[]),
            (
                "router/tests/it/proxying.rs",
                &[
                    "a_request_goes_to_its_hosts_endpoint_and_is_told_in_the_apps_log",
                    "a_url_is_told_in_the_log_by_its_path",
                    "one_answer_is_logged_for_each_request_even_if_the_client_keeps_the_connection",
                ],
            ),
            (
                "router/tests/it/failures.rs",
                &["lines_show_what_was_asked_for_and_hide_what_was_not"],
            ),
            ("router/tests/it/counts.rs", &["lines_hash_queries_and_tell_semicolons"]),
            ("router/src/alone/gorouter/tests.rs", &["lines_show_what_the_file_asks_for"]),
            ("appliance/tests/router/ends.rs", &["our_own_file_does_as_well"]),
        ],
        fewer: "",
    },
    Family {
        id: "S10",
        name: "load balancers' checks",
        original: 2,
        tests: &[("appliance/tests/router/tables/checks.rs", &[])],
        fewer: "",
    },
    Family {
        id: "S11",
        name: "the router's own answers",
        original: 8,
        tests: &[
            ("appliance/tests/router/tables/own_answers.rs", &[]),
            (
                "router/src/proxy/answer/tests.rs",
                &[
                    "what_the_router_says_itself_reads_as_gorouters",
                    "what_an_endpoint_did_cannot_add_a_line",
                    "a_head_is_refused_with_a_head_and_an_old_client_in_its_version",
                ],
            ),
            ("router/src/verdict/tests.rs", &["every_failure_is_told_in_these_very_bytes"]),
            (
                "router/tests/it/failures.rs",
                &[
                    "an_unknown_host_is_told_so",
                    "a_route_whose_instances_are_gone_is_unavailable_for_a_while",
                    "an_answer_that_is_not_http_or_none_at_all_is_the_endpoints_fault",
                    "an_answer_head_beyond_the_limit_is_refused",
                    "what_is_not_there_may_be_shown_on_a_page",
                ],
            ),
            ("router/src/error_page.rs", &[]),
        ],
        fewer: "",
    },
    Family {
        id: "S12",
        name: "upgrades",
        original: 8,
        tests: &[
            ("appliance/tests/router/tables/upgrades.rs", &[]),
            ("router/tests/it/upgrades.rs", &[]),
            (
                "router/tests/it/wire/hostile.rs",
                &["nothing_follows_a_refused_upgrade_that_came_too_early"],
            ),
            (
                "router/tests/it/hostile.rs",
                &[
                    "bytes_that_come_before_an_upgrade_is_decided_are_never_a_request",
                    "a_refused_upgrade_leaves_the_connection_usable_and_strict",
                ],
            ),
        ],
        fewer: "",
    },
    Family {
        id: "S13",
        name: "sticky clients",
        original: 29,
        tests: &[
            ("appliance/tests/router/tables/sticky.rs", &[]),
            ("router/src/proxy/sticky/tests.rs", &[]),
            ("router/tests/it/proxying.rs", &["cookies_keep_a_client_with_its_instance"]),
        ],
        fewer: "",
    },
    Family {
        id: "S14",
        name: "route services",
        original: 38,
        tests: &[
            ("appliance/tests/router/tables/services.rs", &[]),
            ("router/tests/it/services.rs", &[]),
            (
                "router/tests/it/services/returning.rs",
                &[
                    "what_was_signed_reaches_the_app_without_the_signature",
                    "what_no_router_has_signed_for_the_route_is_refused",
                    "who_comes_back_late_is_told_so",
                    "what_was_signed_before_the_secret_changed_is_believed",
                    "stray_signatures_are_looked_at_where_that_is_wished",
                ],
            ),
            ("router/src/verdict/service.rs", &[]),
            ("router/src/services.rs", &[]),
            ("router/src/services/place.rs", &[]),
            ("router/src/services/signature/tests.rs", &[]),
        ],
        fewer: "",
    },
    Family {
        id: "S15",
        name: "what is tried again",
        original: 38,
        tests: &[
            ("appliance/tests/router/tables/retries.rs", &[]),
            (
                "router/src/verdict/tests.rs",
                &[
                    "only_what_cannot_have_been_used_is_tried_again",
                    "errors_of_reading_are_told_apart_by_what_came_before",
                    "a_kept_connection_that_died_of_age_is_replaced_once",
                ],
            ),
            ("router/tests/it/troubles.rs", &[]),
            (
                "router/tests/it/failures.rs",
                &[
                    "no_more_than_three_endpoints_are_tried",
                    "a_get_survives_a_kept_connection_that_dies_and_a_post_is_never_sent_twice",
                    "a_kept_connection_closed_by_the_endpoint_is_not_used_even_for_a_post",
                ],
            ),
            ("router/src/select/tests.rs", &["retries_reach_everyone_once"]),
        ],
        fewer: "",
    },
    Family {
        id: "S16",
        name: "the table",
        original: 105,
        tests: &[
            ("appliance/tests/router/tables/routes.rs", &[]),
            ("router/src/table/tests.rs", &[]),
            ("router/src/table/key.rs", &[]),
            ("router/src/table/interner.rs", &[]),
            ("router/src/pool/backend.rs", &[]),
            (
                "router/src/registrar/tests.rs",
                &[
                    "the_table_has_a_limit_that_is_counted",
                    "what_is_not_heard_of_is_pruned",
                    "silence_of_everyone_prunes_nothing",
                    "an_endpoint_that_proves_itself_needs_no_heartbeat_and_is_forgotten_when_it_fails_to",
                    "an_unreachable_bus_prunes_nothing_if_told_so_and_makes_everything_fresh_when_it_is_back",
                ],
            ),
            (
                "router/tests/it/proxying.rs",
                &[
                    "context_paths_and_wildcards_choose_among_apps",
                    "an_unregistered_endpoint_gets_nothing_more_not_even_on_a_kept_connection",
                ],
            ),
            (
                "appliance/tests/router/bus.rs",
                &[
                    "without_nats_routes_are_pruned_and_come_back_with_it",
                    "pruning_can_wait_for_nats",
                    "only_the_listed_segments_are_carried",
                ],
            ),
        ],
        fewer: "",
    },
    Family {
        id: "S17",
        name: "choosing an endpoint",
        original: 143,
        tests: &[
            ("appliance/tests/router/tables/choices.rs", &[]),
            (
                "router/src/select/tests.rs",
                &[
                    "turns_go_round_and_skip_what_was_tried_or_failed",
                    "the_fewest_in_flight_win_by_load_and_marks_mean_nothing",
                    "who_has_enough_to_do_gets_nothing_more",
                    "when_only_failed_ones_are_left_their_marks_are_cleared",
                    "marks_stay_when_nobody_could_be_tried_in_spite_of_his",
                    "a_mark_ends_by_itself",
                    "nobody_is_chosen_when_all_were_tried_or_none_exist",
                    "the_first_attempt_stays_in_the_zone_if_it_can",
                    "a_hash_always_leads_to_the_same_and_a_newcomer_takes_only_its_share",
                    "a_hash_leads_to_the_next_where_its_own_was_tried_failed_or_has_too_much",
                    "whatever_states_three_endpoints_are_in_the_best_is_chosen",
                ],
            ),
            (
                "router/tests/it/instances.rs",
                &[
                    "a_request_for_one_instance_goes_there_or_nowhere",
                    "the_wish_for_an_app_instance_is_for_the_router_alone",
                    "requests_go_where_the_fewest_are_under_way",
                    "a_header_may_decide_which_instance_it_is",
                ],
            ),
            ("router/src/proxy/instance.rs", &[]),
            ("router/tests/it/proxying.rs", &["endpoints_take_turns"]),
        ],
        fewer: "",
    },
    Family {
        id: "S18",
        name: "draining and signals",
        original: 10,
        tests: &[
            (
                "appliance/tests/router/ends.rs",
                &[
                    "a_drained_router_ends_what_is_under_way_and_takes_nothing_new",
                    "a_drain_has_its_end",
                    "a_drain_goes_on_whatever_is_signalled_meanwhile",
                    "a_terminated_router_does_not_wait_for_what_never_ends",
                    "a_terminated_router_is_gone_within_seconds",
                ],
            ),
            ("appliance/tests/router/handover.rs", &[]),
            ("appliance/tests/router/status.rs", &["a_router_that_waits_or_drains_is_not_well"]),
            (
                "router/tests/it/proxying.rs",
                &["requests_under_way_finish_at_shutdown_and_new_ones_are_not_taken"],
            ),
            (
                "router/tests/it/http2/requests.rs",
                &[
                    "a_router_that_ends_finishes_what_it_has_and_takes_no_more",
                    "a_client_without_requests_is_told_to_leave_after_a_while",
                ],
            ),
            (
                "router/tests/it/tcp.rs",
                &["at_the_end_connections_have_a_while_and_are_then_broken_off"],
            ),
        ],
        fewer: "",
    },
    Family {
        id: "S19",
        name: "registrations over the bus",
        original: 26,
        tests: &[
            ("appliance/tests/router/tables/registrations.rs", &[]),
            ("appliance/tests/router/tables/connections.rs", &[]),
            ("appliance/tests/router/names.rs", &["an_endpoint_may_have_a_name_that_leads_to_it"]),
            (
                "router/src/registrar/tests.rs",
                &[
                    "a_message_registers_each_uri_and_unregisters_it",
                    "what_cannot_be_a_route_is_ignored_and_counted",
                    "the_last_registration_says_what_service_a_route_has",
                    "a_stranger_can_neither_serve_nor_withdraw_a_platform_host",
                    "a_hash_needs_a_header_and_no_share_below_the_average",
                    "a_router_that_starts_or_is_greeted_asks_for_registrations",
                    "other_subjects_neither_register_nor_withdraw",
                    "what_was_lost_in_a_full_queue_is_asked_for_again_and_once",
                    "a_full_queue_is_noticed_however_seldom_routes_are_pruned",
                ],
            ),
            (
                "appliance/tests/router/bus.rs",
                &[
                    "a_registration_is_served_until_it_is_withdrawn",
                    "a_router_says_who_it_is_at_its_start_and_to_who_greets_it",
                    "another_server_is_taken_when_one_goes_and_registrations_are_asked_for_again",
                    "what_was_published_before_a_greeting_is_routed_after_its_answer",
                ],
            ),
            ("appliance/tests/router/bus_tls.rs", &[]),
        ],
        fewer: "",
    },
    Family {
        id: "S20",
        name: "trace headers",
        original: 60,
        tests: &[
            ("appliance/tests/router/tables/traces.rs", &[]),
            ("router/src/proxy/trace/tests.rs", &[]),
            ("router/tests/it/wire/rules.rs", &["trace_ids_that_are_there_are_passed_on"]),
        ],
        fewer: "",
    },
    Family {
        id: "S21",
        name: "client certificates",
        original: 50,
        tests: &[
            ("appliance/tests/router/tables/certificates.rs", &[]),
            (
                "router/tests/it/tls/front.rs",
                &[
                    "a_certificate_may_be_demanded_and_must_be_vouched_for",
                    "endpoints_are_told_of_the_clients_certificate_as_the_mode_says",
                    "in_clear_nobody_has_shown_a_certificate",
                    "an_authority_vouches_only_for_whom_its_rule_names",
                ],
            ),
            ("router/src/tls/subjects/tests.rs", &[]),
        ],
        fewer: "",
    },
    Family {
        id: "S22",
        name: "configuration",
        original: 149,
        tests: &[
            (
                "router/src/alone/gorouter/tests.rs",
                &[
                    "a_usual_file_is_understood",
                    "unknown_keys_are_named_and_known_ones_without_effect_are_not",
                    "the_error_page_is_that_of_its_file",
                    "route_services_are_known_to_who_has_a_secret",
                    "an_empty_file_means_gorouters_defaults",
                    "what_cannot_be_is_refused_with_what_to_do",
                    "tls_in_front_is_as_the_file_says",
                    "a_time_of_0_sets_no_limit_as_in_gorouter",
                    "an_answer_may_stand_still_as_long_as_an_endpoint_may_take",
                    "connections_and_routes_are_as_many_as_the_machine_carries",
                    "nats_is_asked_as_often_as_either_key_says_and_on_this_machine_where_none_is_named",
                    "what_is_asked_for_and_not_done_is_named",
                ],
            ),
            ("router/src/alone/gorouter/routing_api.rs", &[]),
            ("appliance/tests/router/files.rs", &[]),
            ("appliance/tests/router/reload.rs", &[]),
            ("router/src/alone/ours.rs", &[]),
            ("router/src/alone/ours/tcp.rs", &[]),
            ("router/src/alone/route_services.rs", &[]),
            ("router/src/alone/reload.rs", &[]),
            ("router/src/alone/stdout.rs", &[]),
            ("router/src/config/duration.rs", &[]),
            ("router/src/tls/suites.rs", &[]),
            ("router/src/tls/certificates.rs", &[]),
            (
                "appliance/tests/router/ends.rs",
                &[
                    "a_file_of_ours_that_cannot_be_used_is_a_mistake_of_usage",
                    "without_nats_a_router_does_not_start",
                ],
            ),
        ],
        fewer: "",
    },
    Family {
        id: "S23",
        name: "status endpoints",
        original: 20,
        tests: &[
            (
                "appliance/tests/router/status.rs",
                &[
                    "health_is_told_without_a_password_and_routes_with_one",
                    "each_page_is_on_its_own_port_and_nothing_else_is",
                    "routes_are_shown_as_gorouter_shows_them",
                    "old_tooling_finds_its_paths_if_they_are_asked_for",
                    "status_speaks_tls_and_metrics_only_to_those_with_a_certificate",
                ],
            ),
            ("router/src/http/varz.rs", &[]),
            ("router/src/http/rates.rs", &[]),
            ("router/src/http/process.rs", &[]),
        ],
        fewer: "",
    },
    Family {
        id: "S24",
        name: "metrics",
        original: 100,
        tests: &[
            ("appliance/tests/router/tables/metrics.rs", &[]),
            (
                "appliance/tests/router/status.rs",
                &["prometheus_reads_what_is_counted", "a_metron_agent_is_told_what_is_counted"],
            ),
            ("router/src/http/prometheus.rs", &[]),
            ("router/src/metrics.rs", &[]),
            ("router/src/metrics/components.rs", &[]),
            ("router/src/metrics/histogram.rs", &[]),
            ("router/src/alone/report.rs", &[]),
            ("router/src/alone/agent.rs", &[]),
            (
                "router/src/registrar/tests.rs",
                &["how_long_new_endpoints_were_on_their_way_is_measured_once_the_table_is_full"],
            ),
            (
                "router/tests/it/counts.rs",
                &["the_requests_of_each_app_are_measured_where_that_is_asked_for"],
            ),
        ],
        fewer: "",
    },
];
