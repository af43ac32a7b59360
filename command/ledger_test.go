package command

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/config"
	"weir/usage"
)

// TestLedgerCannotBeOpened holds that a gateway whose ledger cannot be opened does not
// begin, and says in one line which setting it is and what to do.
func TestLedgerCannotBeOpened(t *testing.T) {
	azure := newHeld(t)
	dir := t.TempDir()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text")
	rewrite(t, text, strings.Repeat("this is no database\n", 100))
	held := filepath.Join(dir, "held.db")
	with := func(ledger string) string {
		return before(azure.URL, `listen: "127.0.0.1:0"`) + "state: { ledger: { " + ledger + " } }\n"
	}
	serve(t, with("path: "+held))
	tests := []struct {
		name, ledger string
		want         string // what it says, from the start and to the end
		mend         string
	}{
		{"a folder that is not there", "path: " + dir + "/none/ledger.db", "state.ledger.path: " + dir + "/none/ledger.db cannot be written: there is no folder " + dir + "/none", ": make it, or choose another path"},
		{"a folder", "path: " + dir, "state.ledger.path: " + dir + " cannot be written: is a directory", ": choose another path"},
		{"no database", "path: " + text, "state.ledger.path: " + text + ": ", ": choose another path, or put a copy of the ledger in its place"},
		{"another gateway's", "path: " + held, "state.ledger.path: " + held + ": another process writes the ledger", "one file is for one gateway, several share a PostgreSQL"},
		{"a PostgreSQL that is away", fmt.Sprintf("url: postgres://weir:SENTINEL@%s/weir?sslmode=disable", closed.Addr()), "state.ledger.url: ", ": see that the PostgreSQL runs, and that the URL is right"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := weir(t, "", "serve", "-c", write(t, "weir.yaml", with(tt.ledger)))
			lines := strings.Split(strings.TrimSpace(got.err), "\n")
			last := lines[len(lines)-1]
			if got.code != exitError || !strings.HasPrefix(last, "weir: "+tt.want) || !strings.HasSuffix(last, tt.mend) || strings.Contains(last, "SENTINEL") {
				t.Errorf("code %d, says %q, want %q … %q", got.code, last, tt.want, tt.mend)
			}
		})
	}
	if info, err := os.Stat(held); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the ledger's file is %v, %v; want it for its owner alone", info.Mode(), err)
	}
}

// TestLedgerOfNamesThatClientsMakeUp holds that where clients name models as they like
// no more of them are told apart than the documents say, and where the configuration
// names them all are.
func TestLedgerOfNamesThatClientsMakeUp(t *testing.T) {
	t.Parallel()
	free, problems := config.FromEnvironment(config.Options{Getenv: func(name string) (string, bool) {
		v, ok := map[string]string{"AZURE_OPENAI_ENDPOINT": "https://a.openai.azure.com", "AZURE_OPENAI_API_KEY": "0123456789abcdef"}[name]
		return v, ok
	}})
	if free == nil {
		t.Fatal(problems)
	}
	for _, tt := range []struct {
		name string
		file *config.File
		want int
	}{{"without a file", free, 257}, {"with one", handed(t, handing), 1000}} {
		st := &state{}
		if err := st.openLedger(t.Context(), tt.file, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			st.ledger.Take(t.Context(), &usage.Record{Team: "a", Model: fmt.Sprint("m", i), Outcome: usage.ClientError})
		}
		if err := st.ledger.Close(t.Context()); err != nil { // what waits is written
			t.Error(err)
		}
		sums, err := st.ledger.Usage(t.Context(), usage.Query{By: []string{"model"}})
		if err != nil || len(sums) != tt.want {
			t.Errorf("%s: %d models, %v; want %d", tt.name, len(sums), err, tt.want)
		}
		if err := st.db.Close(); err != nil {
			t.Error(err)
		}
	}
}
