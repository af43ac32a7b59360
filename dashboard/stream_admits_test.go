package dashboard_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/dashboard"
)

// TestStreamEndsWithItsLeave: who may be told no more is told no more, a second later.
func TestStreamEndsWithItsLeave(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"", "events=stats", "events=request"} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var shut atomic.Bool
				d := dashboard.New(dashboard.Config{Admits: func(*http.Request) bool { return !shut.Load() }})
				l := listen(t, d, query)
				defer l.stop()
				l.next()
				shut.Store(true)
				began := time.Now()
				for name := ""; name != "end"; {
					if name, _ = l.next(); time.Since(began) > time.Second {
						t.Fatalf("behind %v it tells %q", time.Since(began), name)
					}
				}
			})
		})
	}
}
