package service

// Limits says who a native process is and how much of this machine it may use. The
// zero Limits asks for nothing: it runs as healbot does.
type Limits struct {
	User   string   `json:",omitempty"` // NAME, UID, or either followed by :GROUP or :GID; "" for healbot's own
	Groups []string `json:",omitempty"` // further groups, by name or number

	Umask    *int     `json:",omitempty"` // nil: as healbot has it
	OOMScore *int     `json:",omitempty"` // oom_score_adj; nil: as healbot has it
	Ulimits  []Ulimit `json:",omitempty"` // sorted by name

	CPUs   float64 `json:",omitempty"` // processors; 0 for no limit
	Memory int64   `json:",omitempty"` // bytes; 0 for no limit
	PIDs   int64   `json:",omitempty"` // processes and threads; 0 for no limit
}

// A Ulimit is one resource limit of setrlimit(2); -1 stands for no limit.
type Ulimit struct {
	Name       string // in lower case and without RLIMIT_: "nofile"
	Soft, Hard int64
}

// A File is a secret or a config of a native service: it gets the path of a private
// copy in a variable.
type File struct {
	Variable string // HEALBOT_SECRET_<NAME> or HEALBOT_CONFIG_<NAME>
	Name     string // of the copy: a plain file name
	Path     string `json:",omitempty"` // absolute path of what is copied at each start; "" if Content is
	Content  string `json:",omitempty"` // secret: never shown
}
