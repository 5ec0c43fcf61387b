package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/compose"
)

func (c *cli) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of healbot's fields",
		Long: `Print the JSON schema of the fields that healbot adds to a Compose file, for editors:
x-healbot, and the x- fields of healthcheck and deploy.restart_policy.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			out := json.NewEncoder(c.out)
			out.SetEscapeHTML(false)
			out.SetIndent("", "  ")
			return out.Encode(compose.Schema())
		},
	}
}
