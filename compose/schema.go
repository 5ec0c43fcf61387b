package compose

import (
	"maps"
)

// A shape is a JSON schema, or a part of one.
type shape map[string]any

func says(kind shape, description string) shape {
	s := maps.Clone(kind)
	s["description"] = description
	return s
}

var (
	aText     = shape{"type": "string"}
	aDuration = shape{"type": []string{"string", "integer"}, "pattern": `^([0-9]+(\.[0-9]+)?(us|ms|s|m|h|d|w))+$`, "maximum": 0}
	aCount    = shape{"type": "integer", "minimum": 0}
	texts     = shape{"type": []string{"string", "array"}, "items": aText}
)

// The fields of healbot's own extensions. The loader knows these and no others.
var (
	restartFields = map[string]shape{
		"condition":    {"enum": sortedKeys(conditions), "description": "which ends are healed"},
		"delay":        says(aDuration, "before the first restart of a streak"),
		"max_attempts": says(aCount, "restarts in one streak; 0 is no limit"),
		"window":       says(aDuration, "how long an instance must run well to end a streak; 0 is for ever"),
		"factor":       {"type": "number", "minimum": 1, "description": "by which each delay of a streak is longer than the last"},
		"max_delay":    says(aDuration, "the longest delay"),
		"jitter":       {"type": "number", "minimum": 0, "maximum": 1, "description": "fraction by which a delay varies"},
	}
	healthFields = map[string]shape{
		"interval":       says(aDuration, "from one probe to the next"),
		"timeout":        says(aDuration, "of one probe, in all"),
		"retries":        says(aCount, "probes that must fail in a row"),
		"start_period":   says(aDuration, "in which failed probes do not count"),
		"start_interval": says(aDuration, "from one probe to the next in start_period"),
	}
	onMaxFields = map[string]shape{
		"retry_after": says(aDuration, "begin a new streak after that time at max_restarts"),
	}
	noticeFields = map[string]shape{
		"on":      {"type": []string{"string", "array"}, "items": shape{"enum": edges}, "description": "which edges; all if it is left out"},
		"url":     {"type": "string", "pattern": "^https?://", "description": "gets the message as JSON with POST"},
		"command": says(texts, "argv, gets the message on its input"),
	}
	httpFields = map[string]shape{
		"url":     says(aText, "address that is asked with GET"),
		"status":  {"type": []string{"string", "integer"}, "pattern": "^[0-9]{3}(-[0-9]{3})?$", "description": `codes that are healthy, such as "200-399"`},
		"headers": {"type": "object", "additionalProperties": aText, "description": "sent along"},
		"body":    says(aText, "regular expression that the first 64 KiB must match"),
	}
	ownFields = map[string]shape{
		"restart":     says(object(restartFields), "restart policy, below restart and deploy.restart_policy"),
		"health":      says(object(healthFields), "timing of health checks, below healthcheck"),
		"on_max":      says(object(onMaxFields), "what follows max_restarts"),
		"notify":      {"type": "array", "items": object(noticeFields), "description": "whom to tell, once an edge"},
		"inherit_env": {"type": []string{"string", "array"}, "items": aText, "description": "all, none, or names of variables of the caller"},
		"title":       says(aText, "name of the log file, without .log"),
		"umask":       {"type": "string", "pattern": "^[0-7]{1,3}$", "description": "three octal digits"},
	}
)

func object(fields map[string]shape) shape {
	return shape{"type": "object", "additionalProperties": false, "properties": fields}
}

// some gives the fields of those names.
func some(fields map[string]shape, names []string) map[string]shape {
	part := map[string]shape{}
	for _, name := range names {
		part[name] = fields[name]
	}
	return part
}

// Schema gives the JSON schema of what healbot adds to the Compose Specification; what
// that says itself is left to its own schema.
func Schema() map[string]any {
	healthcheck := shape{"properties": map[string]shape{
		"x-http":         {"oneOf": []shape{aText, object(httpFields)}, "description": "probe over http, from this host"},
		"x-tcp":          says(aText, "probe by connecting to host:port, from this host"),
		"x-log":          says(aText, "regular expression: healthy once a line of the output matches"),
		"x-on-unhealthy": {"enum": []string{"restart", "ignore"}, "description": "whether unhealthy counts as a failure"},
	}}
	restartPolicy := shape{"properties": map[string]shape{
		"x-factor": restartFields["factor"], "x-max-delay": restartFields["max_delay"], "x-jitter": restartFields["jitter"],
	}}
	svc := shape{"properties": map[string]shape{
		"x-healbot":   object(some(ownFields, serviceKeys)),
		"healthcheck": healthcheck,
		"deploy":      {"properties": map[string]shape{"restart_policy": restartPolicy}},
	}}
	return map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       "healbot-compose.yml",
		"description": "healbot's fields of a Compose file",
		"properties": map[string]shape{
			"x-healbot": object(some(ownFields, projectKeys)),
			"services":  {"additionalProperties": svc},
		},
	}
}
