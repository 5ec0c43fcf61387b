// Package docker runs services as containers of the Docker engine.
package docker
