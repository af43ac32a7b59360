package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// The life of a token.
const (
	tokenEarly = 5 * time.Minute  // before its end a new one is asked for
	tokenSlack = 10 * time.Second // before its end it counts as over, for clocks that differ
	tokenPause = 30 * time.Second // between two attempts to replace one that still holds
	tokenWait  = 30 * time.Second // for a new one, at most
)

// Entra is the credential that is a token of Entra ID. Requests share it: it is
// asked for once, however many wait for it, and replaced in time while it still
// serves them. It is safe for concurrent use, and prints as nothing.
type Entra struct {
	log  *slog.Logger
	sign func(context.Context) (azcore.AccessToken, error)

	mu     sync.Mutex
	token  *azcore.AccessToken // nil: none that may be used
	due    time.Time           // when to ask for the next
	asking *asking             // nil: nobody asks
}

// asking is a question for a token, on its way.
type asking struct {
	done chan struct{} // closed when err and the credential's token are set
	err  error
}

// Authorize sets the Authorization header. It waits only where there is no token
// that still holds.
func (e *Entra) Authorize(ctx context.Context, h http.Header) error {
	for {
		token, a := e.hold(ctx)
		if token != nil {
			h["Authorization"] = []string{"Bearer " + token.Token}
			return nil
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return fmt.Errorf("upstream: waiting for a token: %w", context.Cause(ctx))
		}
		if a.err != nil {
			return a.err
		}
	}
}

// hold returns the token where there is one, and else the question that it waits
// for. Where the token is to be replaced, that has been begun.
func (e *Entra) hold(ctx context.Context) (*azcore.AccessToken, *asking) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if e.token != nil && now.After(e.token.ExpiresOn.Add(-tokenSlack)) {
		e.token = nil
	}
	if e.asking == nil && (e.token == nil || !now.Before(e.due)) {
		e.asking = &asking{done: make(chan struct{})}
		go e.ask(context.WithoutCancel(ctx), e.asking)
	}
	return e.token, e.asking
}

// ask gets a token. What it comes to is the same for all who wait.
func (e *Entra) ask(ctx context.Context, a *asking) {
	ctx, cancel := context.WithTimeout(ctx, tokenWait)
	defer cancel()
	token, err := e.sign(ctx)
	now := time.Now()
	if err == nil && !token.ExpiresOn.Add(-tokenSlack).After(now) {
		err = errors.New("upstream: signing in with Entra ID: the token is over already")
	}
	if err != nil {
		e.log.Error("no token", "error", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asking, a.err = nil, err
	close(a.done)
	e.due = now.Add(tokenPause)
	if err != nil {
		return
	}
	e.token = &token
	left := token.ExpiresOn.Sub(now)
	due := token.ExpiresOn.Add(-min(tokenEarly, left/2))
	if on := token.RefreshOn; !on.IsZero() && on.Before(due) {
		due = on
	}
	if due.After(e.due) {
		e.due = due
	}
}

// Renew lets go of the token that was refused, so that another is asked for.
func (e *Entra) Renew(refused http.Header) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.token != nil && "Bearer "+e.token.Token == refused.Get("Authorization") {
		e.token = nil
	}
	return true
}

// Format prints a word in the token's place, whatever the verb.
func (*Entra) Format(s fmt.State, _ rune) { hide(s) }

// LogValue returns a word in the token's place.
func (*Entra) LogValue() slog.Value { return slog.StringValue(secret) }
