package clienttest_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// matrix is what clients were seen to do at endpoints.
type matrix struct {
	mu       sync.Mutex
	cells    map[string]map[string]map[string]bool // by client, endpoint and mode: whether it passed
	programs map[string]bool                       // the libraries that were driven
}

func newMatrix() *matrix {
	return &matrix{cells: map[string]map[string]map[string]bool{}, programs: map[string]bool{}}
}

// modes returns what may be done at an endpoint, in the order of their letters.
func modes() []string { return []string{"plain", "stream", "error", "cancel"} }

// columns returns the endpoints, as cases call them, in the order of the table.
func columns() []string {
	return []string{
		"chat", "chats", "responses", "stored", "count", "compact", "embeddings", "completions", "images", "edits",
		"speech", "transcriptions", "translations", "moderations", "files", "batches", "realtime",
	}
}

// cellOf returns the client, the endpoint and the mode of a case. A case that names
// no endpoint is of chat; mode is "" for those that are no part of the table.
func cellOf(name string) (client, endpoint, mode string) {
	client, rest, _ := strings.Cut(name, "/")
	if endpoint, mode, ok := strings.Cut(rest, "/"); ok {
		return client, endpoint, mode
	}
	chat := map[string]string{
		"plain": "plain", "stream": "stream", "cut stream": "error", "error event": "error", "cancelled stream": "cancel",
	}
	return client, "chat", chat[rest]
}

// noteAtEnd notes how the test ended that ran the case.
func (m *matrix) noteAtEnd(t *testing.T, program, name string) {
	t.Helper()
	if _, endpoint, mode := cellOf(name); !slices.Contains(columns(), endpoint) || mode != "" && !slices.Contains(modes(), mode) {
		t.Errorf("the table has no cell for %q", name)
	}
	t.Cleanup(func() { m.note(program, name, !t.Failed()) })
}

// note adds to a cell, which is good where all that was noted is.
func (m *matrix) note(program, name string, good bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.programs[program] = true
	client, endpoint, mode := cellOf(name)
	if mode == "" {
		return
	}
	client = program + " " + client
	if m.cells[client] == nil {
		m.cells[client] = map[string]map[string]bool{}
	}
	cells := m.cells[client]
	if cells[endpoint] == nil {
		cells[endpoint] = map[string]bool{}
	}
	before, known := cells[endpoint][mode]
	cells[endpoint][mode] = good && (before || !known)
}

// String returns the table, in Markdown.
func (m *matrix) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var table strings.Builder
	fmt.Fprintf(&table, "| client | %s |\n|%s\n", strings.Join(columns(), " | "), strings.Repeat(" --- |", 1+len(columns())))
	for _, client := range slices.Sorted(maps.Keys(m.cells)) {
		fmt.Fprintf(&table, "| %s |", client)
		for _, endpoint := range columns() {
			fmt.Fprintf(&table, " %s |", letters(m.cells[client][endpoint]))
		}
		table.WriteByte('\n')
	}
	return table.String()
}

// letters returns a letter for each mode that was tried, a small x where it failed.
func letters(cell map[string]bool) string {
	if len(cell) == 0 {
		return "–"
	}
	var b strings.Builder
	for _, mode := range modes() {
		switch good, tried := cell[mode]; {
		case good:
			b.WriteString(strings.ToUpper(mode[:1]))
		case tried:
			b.WriteByte('x')
		}
	}
	return b.String()
}

// demandDocumented prints the table and demands that the documentation has just
// this one. Where only some of the programs were asked to run there is none to compare.
func (m *matrix) demandDocumented(t *testing.T, programs int) {
	t.Helper()
	table := m.String()
	t.Logf("what each client was seen to do:\n%s", table)
	if len(m.programs) < programs {
		return
	}
	path := filepath.Join("..", "docs", "compatibility.md")
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), "\n\n"+table+"\n") {
		t.Errorf("%s does not quote this table", path)
	}
}

// TestMatrix: a cell is good where all is that was noted in it, and what has no cell
// is left out.
func TestMatrix(t *testing.T) {
	t.Parallel()
	m := newMatrix()
	m.note("p", "C/plain", true)
	m.note("p", "C/cut stream", false)
	m.note("p", "C/error event", true)
	m.note("p", "C/tools", false)
	m.note("p", "C/images/cancel", true)
	want := "\n| p C | Px |" + strings.Repeat(" – |", 7) + " C |" + strings.Repeat(" – |", len(columns())-9) + "\n"
	if got := m.String(); !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant it to end in %s", got, want)
	}
}
