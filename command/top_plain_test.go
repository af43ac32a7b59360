package command

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"weir/dashboard"
)

// TestTopShowsNoSigns: whatever an answer says of itself brings nothing that a terminal
// would obey.
func TestTopShowsNoSigns(t *testing.T) {
	t.Parallel()
	const sign = "\x1b]0;mine\x07"
	st := watched()
	st.Version, st.State, st.Config = "v1"+sign, "ok"+sign, dashboard.Serving{Hash: "7f" + sign}
	st.Deployments[3].State = sign
	st.Deployments[1].Why = sign
	if got := (look{width: 200}).draw(st, "away"+sign); strings.ContainsAny(got, "\x1b\x07") {
		t.Errorf("drawn %q", got)
	}
}

// TestUsageShowsNoSigns is the same of the table of usage.
func TestUsageShowsNoSigns(t *testing.T) {
	t.Parallel()
	const sign = "\x1b]0;mine\x07"
	name := "search" + sign
	var out strings.Builder
	if err := writeTable(&out, usageList{Zone: "UTC" + sign, By: []string{"team", "day" + sign}, Data: []usageRow{{Team: &name, Requests: 1}}}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\x07") {
		t.Errorf("drawn %q", out.String())
	}
}

// TestTopLongVersion: the first line is one, however long the version of a build is.
func TestTopLongVersion(t *testing.T) {
	t.Parallel()
	st := watched()
	st.Version = "v0.0.0-20261123122249-9ea7928abcde+dirty"
	for _, width := range []int{10, 20, 40, 60} {
		first, _, _ := strings.Cut(look{width: width}.draw(st, ""), "\n")
		if n := utf8.RuneCountInString(first); n > width {
			t.Errorf("%d columns: the first line has %d: %q", width, n, first)
		}
	}
}

// TestTopOfDumbTerminals: a terminal that obeys nothing is told nothing but text.
func TestTopOfDumbTerminals(t *testing.T) {
	out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	s := &streams{out: out}
	for _, tt := range []struct {
		term, noColor   string
		terminal, color bool
	}{
		{"xterm-256color", "", true, true},
		{"xterm-256color", "1", true, false},
		{"dumb", "", false, false},
	} {
		t.Setenv("TERM", tt.term)
		t.Setenv("NO_COLOR", tt.noColor)
		if got := s.look(); got.terminal != tt.terminal || got.color != tt.color {
			t.Errorf("TERM=%s NO_COLOR=%s: %+v", tt.term, tt.noColor, got)
		}
	}
}
