package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"weir/openai"
	"weir/policy"
)

// Today tells who the sender of a request is by the configuration of the moment, and
// the Gateway that serves by it. No team is one whose request would be refused.
type Today func() (now *Gateway, team, key string)

// obeyEvery is how often a session looks whether it may go on, at least.
const obeyEvery = 5 * time.Second

// terms are what a session obeys: one configuration, and what that says of its team.
// They are never changed, but replaced.
type terms struct {
	g      *Gateway
	team   Team
	d      *decision
	window policy.Window
}

// obey replaces the terms by those of the configuration of the moment, and returns
// them. The error is why the session must not go on: it is over then. The caller
// holds mu.
func (s *session) obey() (*terms, error) {
	if s.today == nil {
		return s.terms, nil
	}
	now, team, key := s.today()
	err := error(nil)
	switch {
	case team != s.team.Name || key != s.rec.Key:
		err = revoked()
	case now != s.g:
		var next *terms
		if next, err = s.under(now, s.rec.Deployment); err == nil {
			s.terms = next
		}
	}
	if err != nil {
		s.finish(ending{code: websocket.StatusPolicyViolation, reason: "The session is not allowed any more.", told: visibleEvent(err)})
	}
	return s.terms, err
}

// recheck is obey for who does not hold mu.
func (s *session) recheck() (*terms, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.obey()
}

// under returns the terms by another configuration, of a session with a deployment.
func (t *terms) under(now *Gateway, deployment string) (*terms, error) {
	team, name := now.cfg.Teams[t.team.Name], t.d.model.Name
	model, err := now.modelFor(team, name, false)
	if err != nil {
		return nil, err
	}
	region, there := now.place(&model, deployment)
	switch {
	case model.Name != name || !there:
		return nil, elsewhere(fmt.Sprintf("The deployment of this session is none of the model %q any more.", name))
	case len(team.Regions) > 0 && !slices.Contains(team.Regions, region):
		return nil, elsewhere("The deployment of this session is in none of the regions that the team may use: " + strings.Join(team.Regions, ", ") + ".")
	}
	d := *t.d
	d.model, d.regions = model, team.Regions
	return &terms{g: now, team: team, d: &d, window: merged(model.Window, team.Window)}, nil
}

// place returns the region of a deployment, and whether it is one of a model. What is
// handed on as it is named has all the deployments of its backend.
func (g *Gateway) place(m *Model, deployment string) (region string, there bool) {
	if len(m.Places) > 0 {
		region, there = m.Places[deployment]
		return region, there
	}
	backend, _, _ := strings.Cut(deployment, "/")
	i := slices.IndexFunc(g.cfg.Backends, func(r Resource) bool { return r.Name == backend })
	if i < 0 {
		return "", false
	}
	return g.cfg.Backends[i].Region, true
}

// revoked is what a client is told whose key would not be let in any more, or not as
// the one that it was.
func revoked() *openai.Error {
	return &openai.Error{
		Status: http.StatusUnauthorized, Code: openai.CodeInvalidAPIKey,
		Message: "The API key of this session has expired, was removed or replaced, or is another team's by now. Open a new session with a key that is valid.",
	}
}

// elsewhere is what a client is told whose session is with a deployment that is not
// for it any more.
func elsewhere(why string) *openai.Error {
	return &openai.Error{
		Status: http.StatusForbidden, Code: openai.CodeNoMoreDeployment,
		Message: why + " Open a new session: another deployment will take it, if there is one.",
	}
}
