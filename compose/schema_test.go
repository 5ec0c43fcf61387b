package compose

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The schema and the loader know the same fields.
func TestSchemaKnowsTheFieldsOfTheLoader(t *testing.T) {
	top := Schema()["properties"].(map[string]shape)
	svc := top["services"]["additionalProperties"].(shape)["properties"].(map[string]shape)
	for where, c := range map[string]struct {
		got  shape
		want []string
	}{
		"the project": {top["x-healbot"], projectKeys},
		"a service":   {svc["x-healbot"], serviceKeys},
	} {
		fields := c.got["properties"].(map[string]shape)
		if diff := cmp.Diff(slices.Sorted(slices.Values(c.want)), slices.Sorted(maps.Keys(fields))); diff != "" {
			t.Errorf("x-healbot of %s (-loader +schema):\n%s", where, diff)
		}
		for name, field := range fields {
			if field["description"] == nil {
				t.Errorf("%s of %s has no description", name, where)
			}
		}
	}
}
