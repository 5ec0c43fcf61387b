package compose

import (
	"strings"

	"github.com/healing-bot/healbot/service"
)

// name refuses service names that can't safely be part of a file's name.
func (c *converter) name(path []string) {
	const longest = 63
	name := path[1]
	switch {
	case strings.HasPrefix(name, "."), strings.HasPrefix(name, "-"):
		c.at(path, "begin it with a letter or digit", "the name begins with a dot or dash")
	case len(name) > longest:
		c.at(path, "", "the name is longer than %d characters", longest)
	}
}

// twins refuses names of instances, and of their logs, that differ in nothing but
// case: a status key, a pid file or a log must belong to one instance only.
func (c *converter) twins(all []service.Service) {
	names, titles := map[string]string{}, map[string]string{}
	for _, s := range all {
		for i := range max(s.Replicas, 1) {
			c.twin(names, s, service.Key{Service: s.Name, Replica: i + 1}.String(), "name")
			if s.Process != nil {
				c.twin(titles, s, service.Key{Service: s.Title, Replica: i + 1}.String(), "title")
			}
			if i > mostReplicas {
				break
			}
		}
		if s.Replicas > mostReplicas {
			c.at([]string{"services", s.Name, "scale"}, "", "more than %d instances of one service are not supported", mostReplicas)
		}
	}
}

// mostReplicas bounds what one line of a file can ask for.
const mostReplicas = 1000

func (c *converter) twin(seen map[string]string, s service.Service, name, what string) {
	key := strings.ToLower(name)
	other, taken := seen[key]
	if !taken {
		seen[key] = s.Name
		return
	}
	path := []string{"services", s.Name}
	if what == "title" {
		if strings.EqualFold(other, s.Name) {
			return
		}
		path = append(path, "x-healbot", "title")
	}
	c.at(path, "choose another "+what+"; case makes no difference", "%s %s is taken by %s", what, name, other)
}
