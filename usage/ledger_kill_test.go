package usage_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/usage"
)

// writeUntilKilled is the other process of TestLedgerSurvivesKill. It says on its
// standard output what it was promised, one line each: that a request has begun,
// that it is on disk or, not strict, when it was entered.
func writeUntilKilled(path string, strict bool) {
	db, err := sql.Open("sqlite", usage.SQLiteDSN(path, strict))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	l, err := usage.OpenLedger(ctx, usage.LedgerConfig{DB: db, Strict: strict})
	if err != nil {
		panic(err)
	}
	var out sync.Mutex
	say := func(line string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(line+"\n", args...)
	}
	pid := strconv.Itoa(os.Getpid())
	for stream := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", pid, stream, i)
				r := &usage.Record{Start: noon(), RequestID: id, Team: "a", Key: "k", Model: "m", ReservedCost: 10}
				if i%2 == 0 {
					if err := l.Begin(ctx, r); err != nil {
						panic(err)
					}
					say("began %s 0", id)
				}
				r.Outcome, r.Deployment, r.Cost, r.Output = usage.OK, "d", 3, 4
				at := time.Now().UnixNano()
				l.Take(ctx, r)
				say("ended %s %d", id, at)
				time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond)
			}
		}()
	}
	select {}
}

// promise is what a process was promised before it was killed.
type promise struct {
	began map[string]bool
	ended map[string]time.Time
}

// kill runs a writer on path for a while, kills it, and returns what it was promised.
func kill(t *testing.T, path string, strict bool) (p promise, killed time.Time) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "WEIR_TEST_LEDGER="+path)
	if strict {
		cmd.Env = append(cmd.Env, "WEIR_TEST_STRICT=1")
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p = promise{map[string]bool{}, map[string]time.Time{}}
	enough := 50 + rand.IntN(400)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var what, id string
		var at int64
		if n, err := fmt.Sscan(lines.Text(), &what, &id, &at); n != 3 || err != nil {
			continue // The kill cut it.
		}
		switch what {
		case "began":
			p.began[id] = true
		case "ended":
			p.ended[id] = time.Unix(0, at)
		}
		if enough--; enough == 0 {
			killed = time.Now()
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); killed.IsZero() {
		t.Fatalf("the writer ended by itself: %v", err)
	}
	return p, killed
}

// TestLedgerSurvivesKill holds what a ledger promises over kill -9 under load, twenty
// times: it opens, no row is half, what began and, strict, what ended is there;
// otherwise most of what ended; and its sums are those of its rows. How late rows are
// at most, TestRowsAreWrittenInTime holds: a busy machine may stop any process.
func TestLedgerSurvivesKill(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{true, false} {
		t.Run("strict "+strconv.FormatBool(strict), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ledger.db")
			s := &store{dsn: usage.SQLiteDSN(path, strict), path: path}
			s.db = s.open(t)
			for range 10 {
				p, killed := kill(t, path, strict)
				l := s.ledger(t, usage.LedgerConfig{Strict: strict})
				keptAll(t, p, killed, strict, recent(t, l, usage.Query{}))
				soundSums(t, l)
				closeLedger(t, l)
			}
			var verdict string
			if err := s.db.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
				t.Errorf("integrity_check: %s, %v", verdict, err)
			}
		})
	}
}

// keptAll checks rows against a promise.
func keptAll(t *testing.T, p promise, killed time.Time, strict bool, rows []usage.Row) {
	t.Helper()
	have := map[string]usage.Row{}
	for _, r := range rows {
		have[r.RequestID] = r
		whole := r.Cost == 3 && r.Output == 4 && r.Deployment == "d" && r.Outcome == usage.OK && !r.Unsettled
		estimated := r.Cost == 10 && r.Output == 0 && r.Deployment == "" && r.Unsettled
		if r.Open || whole == estimated || r.Team != "a" || r.Key != "k" || strings.Count(r.RequestID, "-") != 2 {
			t.Errorf("half a row: %+v", r)
		}
	}
	if len(have) != len(rows) {
		t.Errorf("%d rows of %d requests", len(rows), len(have))
	}
	for id := range p.began {
		if _, ok := have[id]; !ok {
			t.Errorf("request %s had begun and is lost", id)
		}
	}
	lost, oldest := 0, time.Duration(0)
	for id, at := range p.ended {
		if r, ok := have[id]; ok && !r.Unsettled {
			continue
		}
		lost++
		oldest = max(oldest, killed.Sub(at))
		if strict {
			t.Errorf("request %s had ended %v before the kill and is lost", id, killed.Sub(at))
		}
	}
	if lost > 0 {
		t.Logf("lost %d of %d, the oldest had ended %v before the kill", lost, len(p.ended), oldest)
	}
}

// soundSums checks that sums and rows tell the same.
func soundSums(t *testing.T, l *usage.Ledger) {
	t.Helper()
	var want usage.Sum
	for _, r := range recent(t, l, usage.Query{}) {
		want.Requests++
		want.Output += r.Output
		want.Cost += r.Cost
		if r.Unsettled {
			want.Unsettled++
		}
	}
	got := sums(t, l, usage.Query{})
	if len(got) != 1 || got[0] != want {
		t.Errorf("sums %+v, rows come to %+v", got, want)
	}
	if s := spent(t, l, "k", noon()); s != want.Cost {
		t.Errorf("spent %d, rows come to %d", s, want.Cost)
	}
}
