package command

import (
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/config"
)

// pasted reads a configuration in which the printed line is the team's second
// key, and returns that key.
func pasted(t *testing.T, out string) config.Key {
	t.Helper()
	line := regexp.MustCompile(`(?m)^ {2}(- \{.*\})$`).FindStringSubmatch(out)
	if line == nil {
		t.Fatalf("there is no line to paste in %q", out)
	}
	old := `- { id: old, sha256: ` + hash("old") + ` }`
	text := whole[:strings.Index(whole, "teams:")] + "teams:\n  search:\n    keys:\n      " + old + "\n      " + line[1] + "\n"
	f, problems := config.Parse("weir.yaml", []byte(text), config.Options{Now: time.Now()})
	if f == nil || len(problems) > 0 {
		t.Fatalf("the line does not fit: %v\n%s", problems, text)
	}
	return f.Teams["search"].Keys[1]
}

// TestNewKeyOptions holds what of an id and of an end stands in the line, once it
// is pasted beside another key.
func TestNewKeyOptions(t *testing.T) {
	t.Parallel()
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of a bubble
	tests := []struct {
		name    string
		args    []string
		id      string // "" made of the team and the hash
		expires time.Time
	}{
		{"neither", nil, "", time.Time{}},
		{"an id", []string{"--id", "search-prod"}, "search-prod", time.Time{}},
		{"an id that could be a number", []string{"--id", "1e3"}, "1e3", time.Time{}},
		{"an id that could be a date", []string{"--id", "2027-03-31"}, "2027-03-31", time.Time{}},
		{"an id that could be nothing", []string{"--id", "null"}, "null", time.Time{}},
		{"the longest id", []string{"--id", strings.Repeat("x", 64)}, strings.Repeat("x", 64), time.Time{}},
		{"days", []string{"--expires", "90d"}, "", start.AddDate(0, 0, 90)},
		{"a day", []string{"--expires", "1d"}, "", start.AddDate(0, 0, 1)},
		{"hours", []string{"--expires=1h30m"}, "", start.Add(90 * time.Minute)},
		{"the shortest", []string{"--expires", "1s"}, "", start.Add(time.Second)},
		{"today", []string{"--expires", "2000-01-01"}, "", start.AddDate(0, 0, 1)},
		{"a date", []string{"--expires", "2027-03-31"}, "", time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC)},
		{"a time", []string{"--expires", "2027-03-31T12:00:00Z"}, "", time.Date(2027, 3, 31, 12, 0, 0, 0, time.UTC)},
		{"a time elsewhere", []string{"--expires", "2027-03-31T12:00:00+02:00"}, "", time.Date(2027, 3, 31, 10, 0, 0, 0, time.UTC)},
		{"both", []string{"--expires", "90d", "--id", "x"}, "x", start.AddDate(0, 0, 90)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got := weir(t, "", append([]string{"key", "new", "search"}, tt.args...)...)
				if got.code != exitOK || got.err != "" {
					t.Fatalf("code %d: %s", got.code, got.err)
				}
				k := pasted(t, got.out)
				want := tt.id
				if want == "" {
					want = "search-" + k.SHA256[:6]
				}
				if k.ID != want || !k.Expires.Equal(tt.expires) {
					t.Errorf("the key is %q until %v, want %q until %v", k.ID, k.Expires, want, tt.expires)
				}
			})
		})
	}
}

// TestNewKeyRefuses holds what makes no key.
func TestNewKeyRefuses(t *testing.T) {
	t.Parallel()
	const form, past, long = "use a length of time", "it is past", "give it a length of time from 1s to the year 9999"
	tests := []struct{ name, flag, value, says string }{
		{"no id", "id", "", `"" cannot be the id of a key`},
		{"an id that is none", "id", "a b", `"a b" cannot be the id of a key`},
		{"an id that is too long", "id", strings.Repeat("x", 65), "cannot be the id of a key"},
		{"an id that breaks out", "id", `x" }`, "cannot be the id of a key"},
		{"no end", "expires", "", form},
		{"no length of time", "expires", "soon", form},
		{"no day", "expires", "2027-02-30", form},
		{"a bare number", "expires", "90", form},
		{"a part of a day", "expires", "1.5d", form},
		{"days that are past", "expires", "-1d", form},
		{"no days", "expires", "0d", long},
		{"hours that are past", "expires", "-1h", long},
		{"less than a second", "expires", "999ms", long},
		{"too many days", "expires", "2147483647d", long},
		{"more days than a number holds", "expires", "99999999999999999999d", form},
		{"a day that is past", "expires", "1999-12-31", past},
		{"a time that is now", "expires", "2000-01-01T00:00:00Z", past},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got := weir(t, "", "key", "new", "search", "--"+tt.flag+"="+tt.value)
				if got.code != exitUsage || got.out != "" || !strings.Contains(got.err, tt.says) {
					t.Errorf("code %d, printed %q and %q, want %q", got.code, got.out, got.err, tt.says)
				}
			})
		})
	}
}
