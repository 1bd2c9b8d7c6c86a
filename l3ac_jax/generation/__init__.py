"""Language models over a codec's tokens: their configuration, network, training and sampling."""
