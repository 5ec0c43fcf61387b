package compose

import "go.yaml.in/yaml/v4"

// mostNodes is how many nodes a file may have once its aliases are written out.
const mostNodes = 50_000

// unfold checks that a document stays small when its aliases are written out: a few
// lines of aliases can stand for billions of nodes, or for endlessly many. It gives
// the place and the fault, or nil.
func unfold(doc *yaml.Node) (at *yaml.Node, fault string) {
	sizes := map[*yaml.Node]int{} // 0 while a node is being counted
	var count func(n *yaml.Node) int
	count = func(n *yaml.Node) int {
		if size, ok := sizes[n]; ok {
			if size == 0 && at == nil {
				at, fault = n, "an alias stands inside of what it refers to"
			}
			return size
		}
		sizes[n] = 0
		size := 1
		if n.Alias != nil {
			size += count(n.Alias)
		}
		for _, below := range n.Content {
			size = min(size+count(below), mostNodes+1)
		}
		if size > mostNodes && at == nil {
			at, fault = n, "too large once its aliases are written out"
		}
		sizes[n] = size
		return size
	}
	count(doc)
	return at, fault
}
