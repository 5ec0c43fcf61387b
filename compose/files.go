package compose

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// files reads the secrets and configs of a native service, sorted by variable.
func (c *converter) files(path []string, s types.ServiceConfig) []service.File {
	var files []service.File
	for i, ref := range s.Secrets {
		def, there := c.model.Secrets[ref.Source]
		files = c.file(files, path, "secrets", i, types.FileReferenceConfig(ref), types.FileObjectConfig(def), there)
	}
	for i, ref := range s.Configs {
		def, there := c.model.Configs[ref.Source]
		files = c.file(files, path, "configs", i, types.FileReferenceConfig(ref), types.FileObjectConfig(def), there)
	}
	slices.SortFunc(files, func(a, b service.File) int { return strings.Compare(a.Variable, b.Variable) })
	return files
}

// file adds one secret or config to the others.
func (c *converter) file(files []service.File, path []string, kind string, i int, ref types.FileReferenceConfig, def types.FileObjectConfig, there bool) []service.File {
	at := append(path[:len(path):len(path)], kind, strconv.Itoa(i))
	if !there {
		if !c.blames(path[1]) {
			c.at(at, "declare it under "+kind+": at the end of the file", "%s is not among the project's %s", ref.Source, kind)
		}
		return files
	}
	out := service.File{Variable: "HEALBOT_" + strings.ToUpper(strings.TrimSuffix(kind, "s")) + "_" + service.VariableName(ref.Source), Name: ref.Source}
	// The library puts the folder of a container before a plain name.
	if name := strings.TrimPrefix(strings.TrimPrefix(ref.Target, "/run/secrets/"), "/"); name != "" && name != ref.Source {
		out.Name = ref.Target
		if !strings.Contains(name, "/") {
			out.Name = name
		}
	}
	defined := []string{kind, ref.Source}
	switch {
	case bool(def.External):
		c.at(append(defined, "external"), "write file:, environment: or content:", "an external one can't be had without an orchestrator")
	case def.File != "":
		out.Path = absolute(c.dir, def.File)
	case def.Environment != "":
		if def.Content == "" && c.environ[def.Environment] == "" {
			c.at(append(defined, "environment"), "set it, or write it into .env", "the variable %s is not set", def.Environment)
		}
		out.Content = def.Content
		if out.Content == "" {
			out.Content = c.environ[def.Environment]
		}
	default:
		out.Content = def.Content
	}
	if out.Name != filepath.Base(out.Name) || strings.HasPrefix(out.Name, ".") || strings.ContainsRune(out.Name, 0) {
		c.at(at, "leave target out: $"+out.Variable+" holds the path of the file", "a native service gets its %s in a folder of healbot's own, so target must be a plain file name", kind)
		out.Name = "unnamed"
	}
	if ref.UID != "" || ref.GID != "" || ref.Mode != nil {
		c.at(at, "leave them out: the file can be read by the service alone", "uid, gid and mode can't be honoured for a native service")
	}
	for _, other := range files {
		if other.Variable == out.Variable || other.Name == out.Name {
			c.at(at, "rename one of them, or give one a target", "%s and another one go by the same name", ref.Source)
			break
		}
	}
	return append(files, out)
}
