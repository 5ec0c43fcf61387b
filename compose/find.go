package compose

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
)

// healbot's own file names come before Compose's.
var (
	ownNames     = []string{"healbot-compose.yml", "healbot-compose.yaml"}
	ownOverrides = []string{"healbot-compose.override.yml", "healbot-compose.override.yaml"}
)

// found says what is to be read, and with what environment.
type found struct {
	files    []string // absolute, in the order in which they are merged
	dir      string   // absolute project directory
	display  string   // directory that shown paths are relative to
	name     string   // "" if it was not asked for
	profiles []string
	env      map[string]string // for interpolation: the caller's, then the env files'
	warnings []string
}

// find decides which files make up the project. Flags win over HEALBOT_…, and that
// over COMPOSE_…; a variable may also stand in the .env file.
func find(o Options) (*found, error) {
	if !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("cannot look for a compose file: the current directory %q is not absolute", o.Dir)
	}
	f := &found{env: environ(o.Environ), display: o.Dir}
	start := o.Dir
	switch {
	case o.ProjectDir != "":
		start = absolute(o.Dir, o.ProjectDir)
	case len(o.Files) > 0:
		start = filepath.Dir(absolute(o.Dir, o.Files[0]))
	}
	envFiles := listed(o.EnvFiles, f.setting("ENV_FILES"), ",")
	if err := f.loadEnv(o.Dir, start, envFiles); err != nil {
		return nil, err
	}
	if err := f.choose(o, start); err != nil {
		return nil, err
	}
	f.dir = filepath.Dir(f.files[0])
	if o.ProjectDir != "" {
		f.dir = start
	}
	if len(envFiles) == 0 && f.dir != start {
		if err := f.loadEnv(o.Dir, f.dir, nil); err != nil {
			return nil, err
		}
	}
	f.profiles = listed(o.Profiles, f.setting("PROFILES"), ",")
	f.name = o.Name
	if f.name == "" {
		f.name = f.setting("PROJECT_NAME")
	}
	return f, nil
}

// choose takes the files that are named, or else looks for some.
func (f *found) choose(o Options, start string) error {
	sep := f.env["COMPOSE_PATH_SEPARATOR"]
	if sep == "" {
		sep = string(os.PathListSeparator)
	}
	f.files = listed(o.Files, f.setting("FILE"), sep)
	if len(f.files) == 0 {
		return f.search(start)
	}
	for i, file := range f.files {
		if file == "-" {
			return errors.New("cannot read the compose file from standard input: its project has no directory for status and logs; give a file name to -f")
		}
		f.files[i] = absolute(o.Dir, file)
	}
	return nil
}

// search looks for a file under one of the usual names, in dir and above it.
func (f *found) search(dir string) error {
	names := append(append([]string{}, ownNames...), cli.DefaultFileNames...)
	for at := dir; ; at = filepath.Dir(at) {
		if there := existing(at, names); len(there) > 0 {
			own := strings.HasPrefix(filepath.Base(there[0]), "healbot-")
			overrides := cli.DefaultOverrideFileNames
			if own {
				overrides = ownOverrides
			} else if len(there) > 1 {
				f.warnings = append(f.warnings, fmt.Sprintf("found %s and %s in %s: the first is used",
					filepath.Base(there[0]), filepath.Base(there[1]), at))
			}
			f.files = there[:1]
			if there := existing(at, overrides); len(there) > 0 {
				f.files = append(f.files, there[0])
			}
			return nil
		}
		if at == filepath.Dir(at) {
			return fmt.Errorf("cannot find a compose file: looked for %s in %s and in every directory above it; go to the project's directory, name a file with -f, or write a %s",
				strings.Join(names, ", "), dir, ownNames[0])
		}
	}
}

// loadEnv adds what env files say to the environment; what is there already wins.
// Without a list of files it is .env in dir, where there is one.
func (f *found) loadEnv(cwd, dir string, files []string) error {
	if len(files) == 0 {
		if off, _ := strconv.ParseBool(f.env["COMPOSE_DISABLE_ENV_FILE"]); off {
			return nil
		}
		if files = existing(dir, []string{".env"}); len(files) == 0 {
			return nil
		}
	}
	for i, file := range files {
		files[i] = absolute(cwd, file)
		if _, err := readFile(files[i]); err != nil {
			return fmt.Errorf("cannot read env file %s: %w", file, plain(err))
		}
	}
	vars, err := dotenv.GetEnvFromFile(f.env, files)
	if err != nil {
		return fileProblem(err, f.display)
	}
	for k, v := range vars {
		if _, ok := f.env[k]; !ok {
			f.env[k] = v
		}
	}
	return nil
}

// setting gives HEALBOT_name, or else COMPOSE_name.
func (f *found) setting(name string) string {
	if v := f.env["HEALBOT_"+name]; v != "" {
		return v
	}
	return f.env["COMPOSE_"+name]
}

// environ makes a map of KEY=VALUE pairs; of two with the same key the later wins.
func environ(pairs []string) map[string]string {
	m := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		if k, v, ok := strings.Cut(pair, "="); ok && k != "" {
			m[k] = v
		}
	}
	return m
}

// listed gives flags if there are any, else the parts of the variable's value.
func listed(flags []string, value, sep string) []string {
	list := append([]string{}, flags...)
	if len(list) > 0 {
		return list
	}
	for _, part := range strings.Split(value, sep) {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

func existing(dir string, names []string) []string {
	var there []string
	for _, name := range names {
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err == nil {
			there = append(there, file)
		}
	}
	return there
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// shown gives file relative to dir if it lies below it.
func shown(file, dir string) string {
	rel, err := filepath.Rel(dir, file)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return file
	}
	return rel
}

// plain drops the system call and the path from a file error.
func plain(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Locate finds the directory of the project that Load would read, without reading it.
func Locate(o Options) (dir string, err error) {
	f, err := find(o)
	if err != nil {
		return "", err
	}
	return f.dir, nil
}
