package main

import "github.com/spf13/cobra"

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

// grouped puts commands into a group.
func grouped(id string, commands ...*cobra.Command) []*cobra.Command {
	for _, cmd := range commands {
		cmd.GroupID = id
	}
	return commands
}
