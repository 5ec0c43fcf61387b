package docker

import (
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/schema"
)

// supported names what this package puts into effect. A path stands for all that lies
// below it.
var supported = []string{
	"configs.*.content",
	"configs.*.environment",
	"configs.*.external",
	"configs.*.file",
	"configs.*.name",
	"networks",
	"secrets.*.environment",
	"secrets.*.external",
	"secrets.*.file",
	"secrets.*.name",
	"volumes",

	"services.*.annotations",
	"services.*.blkio_config",
	"services.*.build.additional_contexts",
	"services.*.build.args",
	"services.*.build.cache_from",
	"services.*.build.cache_to",
	"services.*.build.context",
	"services.*.build.dockerfile",
	"services.*.build.dockerfile_inline",
	"services.*.build.entitlements",
	"services.*.build.extra_hosts",
	"services.*.build.isolation",
	"services.*.build.labels",
	"services.*.build.network",
	"services.*.build.no_cache",
	"services.*.build.no_cache_filter",
	"services.*.build.platforms",
	"services.*.build.privileged",
	"services.*.build.provenance",
	"services.*.build.pull",
	"services.*.build.sbom",
	"services.*.build.secrets",
	"services.*.build.shm_size",
	"services.*.build.ssh",
	"services.*.build.tags",
	"services.*.build.target",
	"services.*.build.ulimits",
	"services.*.cap_add",
	"services.*.cap_drop",
	"services.*.cgroup",
	"services.*.cgroup_parent",
	"services.*.command",
	"services.*.configs",
	"services.*.container_name",
	"services.*.cpu_count",
	"services.*.cpu_percent",
	"services.*.cpu_period",
	"services.*.cpu_quota",
	"services.*.cpu_rt_period",
	"services.*.cpu_rt_runtime",
	"services.*.cpu_shares",
	"services.*.cpus",
	"services.*.cpuset",
	"services.*.credential_spec",
	"services.*.deploy.resources.limits",
	"services.*.deploy.resources.reservations.devices",
	"services.*.deploy.resources.reservations.memory",
	"services.*.develop",
	"services.*.device_cgroup_rules",
	"services.*.devices",
	"services.*.dns",
	"services.*.dns_opt",
	"services.*.dns_search",
	"services.*.domainname",
	"services.*.entrypoint",
	"services.*.environment",
	"services.*.expose",
	"services.*.external_links",
	"services.*.extra_hosts",
	"services.*.gpus",
	"services.*.group_add",
	"services.*.healthcheck",
	"services.*.hostname",
	"services.*.image",
	"services.*.init",
	"services.*.ipc",
	"services.*.isolation",
	"services.*.labels",
	"services.*.links",
	"services.*.logging",
	"services.*.mac_address",
	"services.*.mem_limit",
	"services.*.mem_reservation",
	"services.*.mem_swappiness",
	"services.*.memswap_limit",
	"services.*.network_mode",
	"services.*.networks",
	"services.*.oom_kill_disable",
	"services.*.oom_score_adj",
	"services.*.pid",
	"services.*.pids_limit",
	"services.*.platform",
	"services.*.ports",
	"services.*.post_start",
	"services.*.pre_stop",
	"services.*.privileged",
	"services.*.pull_policy",
	"services.*.pull_refresh_after",
	"services.*.read_only",
	"services.*.runtime",
	"services.*.secrets",
	"services.*.security_opt",
	"services.*.shm_size",
	"services.*.stdin_open",
	"services.*.stop_grace_period",
	"services.*.stop_signal",
	"services.*.storage_opt",
	"services.*.sysctls",
	"services.*.tmpfs",
	"services.*.tty",
	"services.*.ulimits",
	"services.*.use_api_socket",
	"services.*.user",
	"services.*.userns_mode",
	"services.*.uts",
	"services.*.volumes",
	"services.*.volumes_from",
	"services.*.working_dir",
}

// loaded names what a container may have and what takes effect before or beside this
// package: the loader reads it into the service, or policy follows it.
var loaded = []string{
	"include",
	"name",
	"services.*.attach",
	"services.*.depends_on",
	"services.*.deploy.mode",
	"services.*.deploy.replicas",
	"services.*.deploy.restart_policy",
	"services.*.env_file",
	"services.*.extends",
	"services.*.label_file",
	"services.*.profiles",
	"services.*.restart",
	"services.*.scale",
	"version",
}

// refused names what lies below a supported path and is not put into effect.
var refused = []string{
	"services.*.build.secrets.[].gid",
	"services.*.build.secrets.[].mode",
	"services.*.build.secrets.[].uid",
	"services.*.credential_spec.config",
}

// ineffective names what means something to an orchestrator of many engines and nothing
// to one engine, so that docker compose takes it and does nothing.
var ineffective = []string{
	"configs.*.labels",
	"secrets.*.labels",
	"services.*.deploy.endpoint_mode",
	"services.*.deploy.labels",
	"services.*.deploy.placement",
	"services.*.deploy.resources.reservations.cpus",
	"services.*.deploy.resources.reservations.generic_resources",
	"services.*.deploy.rollback_config",
	"services.*.deploy.update_config",
}

// Supported gives the attributes of a Compose file that a container may have, as paths
// in the spelling of compose-go's schema.AttributePaths: "services.*.image",
// "services.*.ports.[].target". Whatever is not among them has no effect, so that a
// loader should refuse it, unless it is among those of Ineffective.
func Supported() []string {
	var paths []string
	for _, p := range schema.AttributePaths() {
		path := string(p)
		if (covered(path, supported) || covered(path, loaded)) && !covered(path, refused) {
			paths = append(paths, path)
		}
	}
	return paths
}

// Ineffective gives the attributes of a Compose file that a container may have though
// they, and all that lies below them, do nothing, which a loader should say.
func Ineffective() []string { return slices.Clone(ineffective) }

func covered(path string, by []string) bool {
	for _, p := range by {
		if path == p || strings.HasPrefix(path, p+".") {
			return true
		}
	}
	return false
}
