from .classifier import LeNet5Classifier as LeNet5Classifier
