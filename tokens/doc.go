// Package tokens counts tokens as Azure does, offline: of a text, and of a whole
// chat request with its names, tools, images, audio and overhead, by the rules of
// the model that will read it.
//
// Nothing in this package opens a connection, fetches an image or fails: the
// vocabularies are embedded, a text of any bytes has a count, special tokens in
// it are ordinary text, and a part that no public rule covers is charged by the
// bound that stands beside its code and reported as estimated.
package tokens
