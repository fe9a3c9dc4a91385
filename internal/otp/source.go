package otp

// Source is where a user came from.
type Source struct{ URL, Category, Name string }

// CheckSourceURL and SourceOf are about to be written.
func CheckSourceURL(string) error { return nil }

// SourceOf is about to be written.
func SourceOf(url string) Source { return Source{URL: url} }
