package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// The groups of commands in healbot --help, in its order.
const (
	groupLife = "life"
	groupLook = "look"
	groupWork = "work"
	groupMake = "make"
)

func groups() []*cobra.Group {
	return []*cobra.Group{
		{ID: groupLife, Title: "Run a project:"},
		{ID: groupLook, Title: "See how it fares:"},
		{ID: groupWork, Title: "Work inside it:"},
		{ID: groupMake, Title: "Write a file, set up a machine:"},
	}
}

// grouped puts commands into a group. Those that take names of services complete them.
func (c *cli) grouped(id string, commands ...*cobra.Command) []*cobra.Command {
	for _, cmd := range commands {
		cmd.GroupID = id
		if strings.Contains(cmd.Use, "SERVICE") && cmd.ValidArgsFunction == nil {
			cmd.ValidArgsFunction = c.completeServices
		}
	}
	return commands
}

// completeServices gives a shell the names that may stand next on a command line.
func (c *cli) completeServices(cmd *cobra.Command, before []string, _ string) ([]string, cobra.ShellCompDirective) {
	if many := strings.Contains(cmd.Use, "SERVICE..."); len(before) > 0 && !many {
		return nil, cobra.ShellCompDirectiveDefault
	}
	quiet := *c
	quiet.err = io.Discard
	_, all, err := quiet.selected(cmd.Context(), nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
