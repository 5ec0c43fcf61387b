// Package compose turns Compose files into services, or into all of their
// problems at once.
//
// Reading, merging and interpolating is compose-go's work, so that .env, env_file,
// override files, extends, include, profiles and anchors mean here exactly what
// they mean to docker compose. This package finds the files, checks what compose-go
// lets pass, and gives back plain values: service.Service says what to run and
// policy.Policy how to restart it. Nothing is started and nothing is written.
//
// A user may rely on this:
//
//   - Nothing is dropped in silence. An attribute that the host can't honour for a
//     native service, or that healbot does not send to the engine for a container,
//     is a Problem.
//   - All problems come in one go, each with file, line and column, in the order
//     of the file. What compose-go refuses is taken out of a copy and the rest read
//     again, so that one typo does not hide the next mistake. (Where that can't be
//     done, in included and extended files, the first mistake may hide others.)
//   - Values of environment, env_file and secrets are in no message. What a message
//     quotes from a file is quoted as written there, before interpolation.
//   - The same input gives the same result: all input is in Options.
//   - Reading is bounded: every file must be a regular file of at most 1 MiB.
//
// # Where a number comes from
//
// Fields of the restart policy and of the health check are merged one by one. From
// strongest to weakest: environment variables, deploy.restart_policy, restart (or
// healthcheck), x-healbot of the service, x-healbot of the project, Compose's
// default. The environment variables are RESTART_DELAY, MAX_RESTARTS,
// MONITOR_INTERVAL and HEALTH_CHECK_TIMEOUT, from the caller's environment or from
// .env; a bare number is seconds. MAX_RESTARTS=0 means no limit, as max_attempts: 0 and on-failure:0 do.
// They change numbers only: a service that says restart: no stays so.
//
// # The configuration hash
//
// Service.Hash covers what a process or container is created with and nothing else.
// For a native service: argv, directory, declared environment and Python options.
// What applies to a live instance is left out: restart policy, healbot's own probes,
// title, log rotation, ports, dependencies and the inherited environment.
package compose
