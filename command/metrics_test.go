package command

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// TestCodesAreComplete holds the list of codes to the constants.
func TestCodesAreComplete(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(codes(t), slices.Sorted(slices.Values(openai.Codes()))); diff != "" {
		t.Errorf("Codes (-constants +listed):\n%s", diff)
	}
}
