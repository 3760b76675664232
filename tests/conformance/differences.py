"""Where the reference, Debian's containerd-shim-runc-v2 1.6, does not do what we ask of Tandem.

Tests named here run on Tandem alone; every other test runs on both with the same assertions. What
only one of the transports can have is named as well.
"""

TANDEM_ONLY: dict[str, str] = {
    "test_start_answers_the_newer_lines_in_json": "the 1.6 shim prints a bare address to everyone",
    "test_info_names_the_runtime": "the 1.6 shim has no -info",
    "test_duplicate_create_already_exists": "it mounts again and answers with code Unknown",
    "test_half_a_request_is_the_callers_fault": "it answers Unknown, or does nothing",
    "test_events_survive_containerds_absence_in_order": "its queue retries out of order and drops",
    "test_service_of_the_newer_line_is_the_same": "the 1.6 shim serves v2 alone",
    "test_signal_out_of_range_is_refused": "runc takes some numbers and fails with Unknown",
    "test_delete_after_a_death_before_create": "its `delete` fails without the file `runtime`",
    "test_kill_of_an_exec_out_of_range_is_refused": "as for the init",
    "test_stdio_verbs_of_an_unknown_exec_are_not_found": "it forgets to map the error: Unknown",
    "test_exec_that_fails_to_start_ends_its_streams": "it keeps the FIFOs open, even after Delete",
    "test_exits_of_execs_come_before_their_inits": "the 1.6 shim tells exits as it reaps them",
    "test_update_by_garbage_is_the_callers_fault": "it answers Unknown to what it cannot decode",
    "test_exec_writes_into_no_streams": "its /dev/null is open for reading alone",
    "test_file_behind_a_terminal": "its terminals know FIFOs and loggers alone",
    "test_generic_options_hold_runcs_keys": "it knows no options but its own",
    "test_late_logger_holds_up_no_other_container": "it creates one container at a time",
    "test_stdin_beside_a_logger": "beside a logger it opens no stdin",
    "test_checkpoint_is_told": "the 1.6 shim publishes no such event",
    "test_restore_of_what_is_not_there_fails": "such a task can never be deleted, its shim stays",
    "test_checkpoint_without_criu_is_unimplemented": "it answers Unknown with runc's words",
    "test_daemons_end_is_not_noticed_by_pods": "it has no daemon",
    "test_delete_ends_instances_at_once": "runc's containers outlive their shim until `delete`",
}

TANDEM_ONLY_PREFIXES = ("test_wasm_", "test_stress_")
"""Tests of what the reference has no idea of, and of our own leaks."""

_FRAMES = "it sends ttrpc's frames itself"
_ANSWER = "it is about the answers that name ttrpc"
TTRPC_ONLY: dict[str, str] = {
    "test_undecodable_payload_costs_one_call": _FRAMES,
    "test_hostile_frames_cost_one_call": _FRAMES,
    "test_half_a_frame_and_a_hang_up_disturb_nobody": _FRAMES,
    "test_frames_in_pieces_and_many_at_once": _FRAMES,
    "test_a_hung_up_waiter_disturbs_nobody": _FRAMES,
    "test_start_prints_an_address_that_listens_and_nothing_else": _ANSWER,
    "test_start_answers_the_newer_lines_in_json": _ANSWER,
}
"""Tests that do not run with `--transport grpc`."""
