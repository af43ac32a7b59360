package proxy

import (
	"strings"
	"testing"
)

// TestServed holds which configured model an answer's name is of: the model's own, or
// that of a version of it.
func TestServed(t *testing.T) {
	t.Parallel()
	own := map[string]string{"gpt-4": "gpt-4", "gpt-4o": "gpt-4o", "gpt-4-0613": "old"}
	tests := []struct{ name, made, want string }{
		{"a model", "gpt-4o", "gpt-4o"},
		{"a date", "gpt-4o-2024-11-20", "gpt-4o"},
		{"a number", "gpt-4-1106", "gpt-4"},
		{"a version with a model of its own", "gpt-4-0613", "old"},
		{"another model of longer name", "gpt-4o-mini", ""},
		{"a date of another", "gpt-4o-mini-2024-07-18", ""},
		{"a preview, which costs what it may", "gpt-4-1106-preview", ""},
		{"of no name", "-2024-11-20", ""},
		{"nothing", "", ""},
		{"dashes", "gpt-4o--", "gpt-4o"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			names := Names{Models: own}
			if got, ok := names.served(tt.made); got != tt.want || ok != (tt.want != "") {
				t.Errorf("served(%q) = %q, %v; want %q", tt.made, got, ok, tt.want)
			}
		})
	}
}

// TestServedOfALongName is not parallel: it counts what is allocated. A name of an
// upstream's making is not looked up at each of its dashes.
func TestServedOfALongName(t *testing.T) {
	names, long := Names{Models: map[string]string{"gpt-4": "gpt-4"}}, "gpt-4"+strings.Repeat("-", 1<<12)
	if n := testing.AllocsPerRun(1, func() { names.served(long) }); n > 1<<10 {
		t.Errorf("a name of %d bytes takes %v allocations", len(long), n)
	}
}

// TestVersionOf holds what a version of a model is, and that a preview is none.
func TestVersionOf(t *testing.T) {
	t.Parallel()
	for made, want := range map[string]bool{
		"gpt-4o-2024-11-20": true, "gpt-4o-0613": true, "gpt-4o": false, "gpt-4o-": false, "gpt-4o-mini": false,
		"gpt-4o-2024-11-20-preview": false, "gpt-4o2024": false, "gpt-4-2024-11-20": false,
	} {
		if got := versionOf(made, "gpt-4o"); got != want {
			t.Errorf("versionOf(%q) = %v, want %v", made, got, want)
		}
	}
}
