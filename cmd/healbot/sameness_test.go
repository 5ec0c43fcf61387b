package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/network"
	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/internal/healtest"
)

// rich uses what a container can have on any engine that the tests run with.
const rich = `
name: PROJECT
services:
  db: {image: IMAGE, command: [sleep], networks: [front]}
  web:
    image: IMAGE
    command: [sleep]
    hostname: webhost
    domainname: example.org
    user: "1000:1000"
    working_dir: /tmp
    env_file: [vars.env]
    environment: {A: "1", B: "two words", EMPTY: ""}
    labels: {org.example.a: x}
    ports: ["127.0.0.1:%d:80", "127.0.0.1:%d:81/udp", "82"]
    expose: ["9000", "9001-9003/udp"]
    volumes:
      - ./data:/data:ro
      - named:/named
      - /unnamed
      - {type: volume, source: named, target: /nocopy, volume: {nocopy: true}}
      - {type: tmpfs, target: /scratch, tmpfs: {size: 1048576, mode: 0700}}
      - {type: bind, source: ./data, target: /long, bind: {create_host_path: false}}
    tmpfs: ["/run:size=1m"]
    networks: {front: {aliases: [www], priority: 5}, back: {aliases: [hidden]}}
    depends_on: {db: {condition: service_started, restart: true}}
    cap_add: [NET_ADMIN]
    cap_drop: [NET_RAW]
    ulimits: {nofile: {soft: 100, hard: 200}, nproc: 50}
    sysctls: {net.core.somaxconn: "128"}
    devices: ["/dev/null:/dev/mynull:r"]
    device_cgroup_rules: ["c 1:3 r"]
    dns: [192.0.2.1]
    dns_search: [example.org]
    dns_opt: ["ndots:1"]
    extra_hosts: ["a.example:192.0.2.2", "b.example:192.0.2.3"]
    group_add: ["7"]
    init: true
    ipc: private
    cgroup: host
    logging: {driver: json-file, options: {max-size: 1m, max-file: "2"}}
    mem_limit: 64m
    mem_reservation: 32m
    memswap_limit: 128m
    cpus: 0.5
    cpu_shares: 200
    cpuset: "0"
    pids_limit: 77
    oom_score_adj: 100
    read_only: true
    restart: unless-stopped
    security_opt: ["no-new-privileges:true"]
    shm_size: 1m
    stop_signal: SIGINT
    stop_grace_period: 3s
    stdin_open: true
    tty: true
    mac_address: 02:42:ac:11:65:43
    healthcheck: {test: [CMD, /fixture, exit, "0"], interval: 30s, timeout: 5s, retries: 4, start_period: 1s}
networks:
  front: {labels: {org.example.n: z}, driver_opts: {com.docker.network.bridge.enable_icc: "true"}}
  back: {internal: true, attachable: true}
volumes:
  named: {labels: {org.example.v: z}}
`

// explained are the differences between what docker compose and healbot make of one file,
// as patterns of paths, and why they are.
var explained = map[string]string{
	`^container/(Id|Created|State/.*|HostnamePath|HostsPath|LogPath|ResolvConfPath|GraphDriver/.*)$`: "each container has its own",
	`^container/NetworkSettings/(SandboxID|SandboxKey)$`:                                             "each container has its own",
	`^container/NetworkSettings/.*(EndpointID|NetworkID|Gateway|IPAddress|IPPrefixLen)$`:             "each network has its own",
	`^container/NetworkSettings/Ports/82/tcp/.*$`:                                                    "the engine takes a free one",
	`^container/NetworkSettings/Networks/.*_back/MacAddress$`:                                        "it follows from the address, which is each network's own",
	`^(front|back|volume)/(Id|Created|CreatedAt)$`:                                                   "each has its own",
	`^(front|back)/IPAM/Config/.*$`:                                                                  "the engine takes a free one",
	`^(front|back)/Containers/.*$`:                                                                   "by id of the container",
	`/Labels/healbot\.\w+$`:                                                                          "how healbot knows its own",
	`/Labels/com\.docker\.compose\.version$`:                                                         "no docker compose made it",
	`^(front|back|volume)/Labels/com\.docker\.compose\.config-hash$`:                                 "without it docker compose up takes the network or volume as it is; with a hash that is not its own it would remove it",
	`^container/HostConfig/RestartPolicy/Name$`:                                                      "healbot restarts, and the engine must not",
	`^container/HostConfig/(Binds|Mounts)/.*$`:                                                       "a named volume has two forms; container/Mounts shows what became of it",
	`^container/Mounts/[^/]+/Mode$`:                                                                  "rw in the one form of a volume, z in the other",
}

// TestSameAsDockerCompose makes everything of a rich file with docker compose and with
// healbot, and compares what the engine says of it, attribute by attribute.
func TestSameAsDockerCompose(t *testing.T) {
	p := newShared(t, rich, healtest.Port(t), healtest.Port(t))
	if err := os.Mkdir(filepath.Join(p.dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "vars.env"), []byte("FROM_FILE=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.docker("up", "-d")
	theirs := p.made()
	p.docker("down", "-v", "-t", "1")
	p.healbot("up", "-d")
	ours := p.made()

	for pattern := range explained {
		match, used := regexp.MustCompile(pattern), false
		for path := range mergeKeys(theirs, ours) {
			if match.MatchString(path) {
				used = used || theirs[path] != ours[path]
				delete(theirs, path)
				delete(ours, path)
			}
		}
		if !used && !strings.HasSuffix(explained[pattern], " own") && !strings.HasSuffix(explained[pattern], "free one") {
			t.Errorf("%s is explained, but does not differ", pattern)
		}
	}
	if len(theirs) < 100 {
		t.Errorf("only %d attributes are left to compare", len(theirs))
	}
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Errorf("(-docker compose +healbot):\n%s", diff)
	}
}

func mergeKeys(a, b map[string]string) map[string]bool {
	all := map[string]bool{}
	for _, m := range []map[string]string{a, b} {
		for k := range m {
			all[k] = true
		}
	}
	return all
}

// made gives the attributes of web and of what was made for it, by path. One that is
// empty is left out, for an engine says that in several ways.
func (p *shared) made() map[string]string {
	p.Helper()
	flat := map[string]string{}
	id := p.containerID("web")
	_, text, err := p.engine.ContainerInspectWithRaw(p.Context(), id, false)
	put := func(what string) {
		if err != nil {
			p.Fatalf("cannot inspect the %s: %v", what, err)
		}
		flatten(flat, what, p.decoded(text, id))
	}
	put("container")
	for _, name := range []string{"front", "back"} {
		_, text, err = p.engine.NetworkInspectWithRaw(p.Context(), p.project+"_"+name, network.InspectOptions{})
		put(name)
	}
	_, text, err = p.engine.VolumeInspectWithRaw(p.Context(), p.project+"_named")
	put("volume")
	return flat
}

// decoded reads JSON of the engine without the names that hold a container's id.
func (p *shared) decoded(text []byte, id string) (v any) {
	p.Helper()
	words := strings.ReplaceAll(string(text), id[:12], "SHORT-ID")
	words = regexp.MustCompile(`[0-9a-f]{64}`).ReplaceAllString(words, "LONG-ID")
	if err := json.Unmarshal([]byte(words), &v); err != nil {
		p.Fatal(err)
	}
	return v
}

// inOrder are the lists in which order means something.
var inOrder = []string{"Args", "Cmd", "Entrypoint", "Test", "Dns", "DnsSearch"}

func flatten(into map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if strings.HasSuffix(path, "/ExposedPorts") {
				for _, port := range ports(key) {
					into[path+"/"+port] = "exposed"
				}
				continue
			}
			flatten(into, path+"/"+key, value)
		}
	case []any:
		list := slices.Clone(v)
		if !slices.Contains(inOrder, filepath.Base(path)) {
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(sortKey(a), sortKey(b)) })
		}
		for n, value := range list {
			flatten(into, path+"/"+strconv.Itoa(n), value)
		}
	case nil:
	default:
		if text := fmt.Sprint(v); text != "" && text != "0" && text != "false" {
			into[path] = text
		}
	}
}

// sortKey orders mounts by their place, and all else by what it is.
func sortKey(v any) string {
	if m, ok := v.(map[string]any); ok && m["Destination"] != nil {
		return fmt.Sprint(m["Destination"])
	}
	return fmt.Sprint(v)
}

// ports writes "9000" and "9001-9003/udp" as the single ports that an engine makes of them.
func ports(key string) (all []string) {
	numbers, protocol, ok := strings.Cut(key, "/")
	if !ok {
		protocol = "tcp"
	}
	first, last, ranged := strings.Cut(numbers, "-")
	if !ranged {
		last = first
	}
	from, _ := strconv.Atoi(first)
	to, _ := strconv.Atoi(last)
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprintf("%d/%s", n, protocol))
	}
	return all
}
