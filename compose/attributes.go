package compose

// natives are the attributes that a native service may have.
var natives = newAllowlist([]string{
	"services.*.attach",
	"services.*.command",
	"services.*.configs",
	"services.*.cpus",
	"services.*.depends_on",
	"services.*.deploy.replicas",
	"services.*.deploy.resources.limits.cpus",
	"services.*.deploy.resources.limits.memory",
	"services.*.deploy.resources.limits.pids",
	"services.*.deploy.restart_policy",
	"services.*.develop.watch.action",
	"services.*.develop.watch.ignore",
	"services.*.develop.watch.include",
	"services.*.develop.watch.initial_sync",
	"services.*.develop.watch.path",
	"services.*.develop.watch.target",
	"services.*.entrypoint",
	"services.*.env_file",
	"services.*.environment",
	"services.*.group_add",
	"services.*.healthcheck",
	"services.*.labels",
	"services.*.logging.driver",
	"services.*.logging.options.max-file",
	"services.*.logging.options.max-size",
	"services.*.mem_limit",
	"services.*.oom_score_adj",
	"services.*.pids_limit",
	"services.*.ports",
	"services.*.post_start",
	"services.*.pre_stop",
	"services.*.profiles",
	"services.*.provider",
	"services.*.restart",
	"services.*.scale",
	"services.*.secrets",
	"services.*.stdin_open",
	"services.*.stop_grace_period",
	"services.*.stop_signal",
	"services.*.tty",
	"services.*.ulimits",
	"services.*.user",
	"services.*.working_dir",
	"services.*.image", // refused in words of its own, as is build
	"services.*.build",
})

// nativeFiles are the attributes of secrets and configs that a native service can have.
var nativeFiles = newAllowlist([]string{
	"secrets.*.file", "secrets.*.environment", "secrets.*.external", "secrets.*.name", "secrets.*.labels",
	"configs.*.file", "configs.*.environment", "configs.*.content", "configs.*.external", "configs.*.name", "configs.*.labels",
})

const (
	hostNetwork = "a native service uses the host's network; remove it"
	hostRights  = "a native service has the rights of the user who runs healbot; remove it"
	hostFiles   = "a native service sees the host's files; remove it"
	hostLimits  = "no limit of this kind is set on a native service; remove it"
	hostSpaces  = "a native service shares the host's namespaces; remove it"
)

// nativeHints say what to do about attributes that mean nothing on the host.
var nativeHints = map[string]string{
	"cap_add": hostRights, "cap_drop": hostRights, "privileged": hostRights, "security_opt": hostRights,
	"userns_mode": hostRights, "credential_spec": hostRights,
	"volumes": hostFiles, "volumes_from": hostFiles, "tmpfs": hostFiles, "read_only": hostFiles,
	"devices": hostFiles, "storage_opt": hostFiles, "shm_size": hostFiles, "gpus": hostFiles,
	"networks": hostNetwork, "network_mode": hostNetwork, "dns": hostNetwork, "dns_opt": hostNetwork,
	"dns_search": hostNetwork, "extra_hosts": hostNetwork, "hostname": hostNetwork, "domainname": hostNetwork,
	"mac_address": hostNetwork, "sysctls": hostNetwork,
	"links": "write depends_on", "external_links": "write depends_on", "expose": "write ports",
	"pid": hostSpaces, "ipc": hostSpaces, "uts": hostSpaces, "cgroup": hostSpaces, "cgroup_parent": hostSpaces,
	"cpu_count": hostLimits, "cpu_percent": hostLimits, "cpu_period": hostLimits, "cpu_quota": hostLimits,
	"cpu_shares": hostLimits, "cpuset": hostLimits, "mem_reservation": hostLimits, "memswap_limit": hostLimits,
	"mem_swappiness": hostLimits, "oom_kill_disable": hostLimits, "blkio_config": hostLimits,
	"container_name": "a native service goes by its own name; x-healbot: {title: …} names its log",
	"label_file":     "write labels",
	"init":           "a native service's processes are always reaped; remove it",
}

func (r *report) notNative(path []string) {
	key := last(path)
	hint := nativeHints[key]
	switch {
	case hint != "":
	case len(path) > 3 && path[2] == "logging":
		hint = "max-size and max-file are what a native service's log knows"
	case len(path) > 3 && path[2] == "deploy":
		hint = "replicas, restart_policy and resources.limits are what a native service takes from deploy"
	default:
		hint = "it means something for a container only; remove it"
	}
	r.at(path, hint, "%s can't be honoured for a native service", key)
}

// containerHints say what to do instead of what a container can't have.
var containerHints = map[string]string{
	"pre_start":       "make it a service of its own with restart: no, and depend on it with service_completed_successfully",
	"umask":           `the engine knows none: write it in the command, as in ["sh", "-c", "umask 027; exec …"]`,
	"template_driver": "write the text as it shall be, or interpolate it with ${…} in content:",
	"driver":          "write file: or environment:",
	"driver_opts":     "write file: or environment:",
	"models":          "run the model as a service, and give its address in environment",
	"config":          "write file: or registry:",
}

func (r *report) notContainer(path []string) {
	where := "for a container"
	if path[0] != "services" {
		where = "in " + path[0]
		if len(path) == 1 {
			where = "in a compose file"
		}
	}
	hint := "remove it: it would have no effect"
	if known := containerHints[last(path)]; known != "" {
		hint = known
	}
	if len(path) > 3 && path[2] == "build" {
		where = "in a build"
	}
	if len(path) > 4 && path[2] == "build" && path[3] == "secrets" {
		hint = "write it in the Dockerfile: RUN --mount=type=secret,id=…," + last(path) + "=…"
	}
	r.at(path, hint, "%s is not supported yet %s", last(path), where)
}
