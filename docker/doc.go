// Package docker runs services as containers of the Docker engine: it makes images,
// networks and volumes ready, creates and starts containers, says how they ended, gives
// what they wrote, and cleans up.
//
// A caller may rely on this:
//
//   - The engine may be absent when a Backend is made, and may come and go. Every call
//     to it has a deadline. What needs it then fails with service.ErrOutside and a
//     sentence that says where the engine was looked for; it works again when the engine
//     is back. Nothing is remembered that the engine could not be asked for.
//   - Only what bears healbot's own labels is started, stopped or removed. A container
//     that has the name of ours without them is a clear error; a network or volume that
//     was there before is used and kept. Named volumes are removed on request only.
//     Unnamed ones go along when a container is replaced, and go with the project.
//   - The engine's own restart policy is always off, so that there is one count of
//     restarts. A health check that healbot runs itself switches the engine's off.
//   - A container is started again as long as its configuration hash is the same and
//     the networks it was made for exist. A start that failed leaves nothing behind.
//   - The end of a container is noticed from the engine's events. They are hints: after
//     each subscription and every 30 seconds the engine is asked for the truth, so that
//     a lost event delays the news and changes nothing else.
//   - An end has its cause. A stop with the engine's own command is a user's; a kill or a
//     removal by hand is a crash, and so is everything that nobody ordered. What ended
//     because the engine did says so (service.Exit.Engine) and never counts as success,
//     although the engine reports code 0 for it. To tell these apart an end that follows
//     a stranger's signal is reported up to a second late; any other at once, and so is
//     one by a single SIGKILL, with which neither a stop nor the engine's end begins.
//   - An image with a build section is built when it is missing, with BuildKit where the
//     engine prefers it; what needs a session with the builder, as secrets and ssh do, is
//     built with the docker command and its plugin buildx. A container is replaced when
//     it starts again after its image was built anew.
//   - post_start runs in a container once it is up, and one that fails ends it; pre_stop
//     runs before the stop signal, within the time that the stop is given.
//   - Secrets and configs that are files are bound into the container; all others, and
//     those with an owner or mode of their own, are copied in before it first starts.
//   - What names another service (network_mode, pid, ipc, volumes_from, links) is looked
//     up at each start; a container that is bound to one that is gone is replaced.
//   - A container that is paused says so in its verdicts, and can be stopped.
//   - Output stays with the engine's logging driver. Logs puts long lines together again
//     and follows a service over restarts and replacements without gap or repetition.
//
// An engine of API 1.41 (Docker 20.10) or later is supported; the version is negotiated
// anew with each connection. What an engine is too old for is an error, except
// healthcheck.start_interval: before API 1.44 healbot runs the check itself that often.
package docker
