package openai_test

import (
	"strings"
	"testing"

	"weir/openai"
)

// TestWord: a name is one, a text is none.
func TestWord(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, give, want string }{
		{"nothing", "", ""},
		{"a model", "gpt-4o-2024-11-20", "gpt-4o-2024-11-20"},
		{"the longest", strings.Repeat("x", 128), strings.Repeat("x", 128)},
		{"too long", strings.Repeat("x", 129), ""},
		{"a sentence", "it was said", ""},
		{"a line break", "stop\n", ""},
		{"another script", "зачем", ""},
		{"no text at all", "\xff", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := openai.Word(tt.give); got != tt.want {
				t.Errorf("Word(%q) is %q, want %q", tt.give, got, tt.want)
			}
		})
	}
}
